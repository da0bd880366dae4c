"""What goes between the processes that have the stages of a pipeline, by torch.distributed, in host memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from triptych.capabilities.pipeline import IntermediateTensors
from triptych.errors import OptionError, StageError
from triptych.settings import Stage

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8)
WORDS = torch.uint8  # of what went wrong, where a tensor is waited for
DIMS = 4  # the most that a tensor has which is sent
HOW = "start as many processes as stages with torchrun, and call torch.distributed.init_process_group('gloo') first"


class Pipe:
    """The default process group as a pipeline, seen from the process of one stage, whose rank is the stage's.

    Every process makes the same calls in the same order. How long one waits for another is what its process group
    was made with; StageError is raised when that is over, or when the other has ended.
    """

    def __init__(self, stage: Stage) -> None:
        """Raises OptionError when this process is not the one of that stage in a group of as many as there are."""
        if why := _why_no_group(stage):
            raise OptionError(why, path="stage")
        self.stage = stage

    def send(self, rows: IntermediateTensors, *, mark: int) -> None:
        """Hand tensors to the next stage, in the order of their names; `mark` tells of which step they are."""
        to = self.stage.rank + 1
        with self._with(f"stage {to}"):
            for _, tensor in sorted(rows.items()):
                dist.send(_header(tensor, mark=mark), to)
                dist.send(_bytes(tensor), to)

    def receive(self, names: Sequence[str], *, mark: int, device: torch.device) -> IntermediateTensors:
        """What the stage before sends under these names.

        Raises StageError for what is of another step than `mark`: it was asked something else.
        """
        return IntermediateTensors({name: self._received(mark, device) for name in sorted(names)})

    def share(self, tensor: Tensor | None, *, source: int, device: torch.device) -> Tensor:
        """The tensor that the process of the stage `source` gives, for all of them.

        Raises StageError where that process failed to make it, and said so.
        """
        with self._with(f"stage {source}"):
            header = torch.zeros(3 + DIMS, dtype=torch.int64) if tensor is None else _header(tensor)
            dist.broadcast(header, source)
            data = _empty(header) if tensor is None else _bytes(tensor)
            dist.broadcast(data, source)
        if tensor is not None:
            return tensor
        if (found := _tensor(header, data)).dtype == WORDS:
            raise StageError(f"stage {source} failed: {bytes(found.tolist()).decode()}")
        return found.to(device)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Around what is made to be shared: where it fails, the others hear of it in its place and wait no longer."""
        try:
            yield
        except Exception as error:
            words = f"{type(error).__name__}: {error}".encode()
            self.share(torch.tensor(list(words), dtype=WORDS), source=self.stage.rank, device=torch.device("cpu"))
            raise

    def least(self, number: int) -> int:
        """The least of the numbers that the processes give."""
        found = torch.tensor([number])
        with self._with("the other stages"):
            dist.all_reduce(found, dist.ReduceOp.MIN)
        return int(found)

    def _received(self, mark: int, device: torch.device) -> Tensor:
        header, source = torch.zeros(3 + DIMS, dtype=torch.int64), self.stage.rank - 1
        with self._with(f"stage {source}"):
            dist.recv(header, source)
            if int(header[0]) == mark:
                data = _empty(header)
                dist.recv(data, source)
                return _tensor(header, data).to(device)
        wanted = "every process is to ask the same of its model, in the same order"
        raise StageError(f"{self.stage} reads other tokens than stage {source}; {wanted}")

    @contextmanager
    def _with(self, other: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # which those of torch.distributed are
            cause = str(error).partition("\n")[0]
            gone = "its process has ended, or has not answered in the time that the process group was given"
            raise StageError(f"{self.stage} hears no more of {other}: {gone}; start all anew ({cause})") from error


def _why_no_group(stage: Stage) -> str:
    if not dist.is_available() or not dist.is_initialized():
        return f"{stage} runs in a process group, and there is none; {HOW}"
    if (size := dist.get_world_size()) != stage.size:
        return f"{stage}, and the process group has {size} processes; {HOW}"
    if (rank := dist.get_rank()) != stage.rank:
        return f"{stage}, and this process has rank {rank} of {size}; Stage({rank}, {size}) is meant for it"
    if "cpu:" not in (backends := dist.get_backend_config()):
        return f"the process group ({backends}) sends nothing from host memory; 'cpu:gloo,{backends}' would"
    return ""


def _header(tensor: Tensor, *, mark: int = 0) -> Tensor:
    dims = [*tensor.shape, *[0] * (DIMS - tensor.ndim)]
    return torch.tensor([mark, DTYPES.index(tensor.dtype), tensor.ndim, *dims])


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)


def _empty(header: Tensor) -> Tensor:
    """Room for the bytes of a tensor with this header."""
    dtype, shape = _form(header)
    return torch.empty(torch.Size(shape).numel() * dtype.itemsize, dtype=torch.uint8)


def _tensor(header: Tensor, data: Tensor) -> Tensor:
    dtype, shape = _form(header)
    return data.view(dtype).view(shape)


def _form(header: Tensor) -> tuple[torch.dtype, list[int]]:
    _, dtype, ndim, *dims = header.tolist()
    return DTYPES[dtype], dims[:ndim]
