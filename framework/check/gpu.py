"""Kernels of a model for a GPU that is not there: on meta it chooses as it would on that GPU, and they compile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triptych.assembly import Assembled, LanguageModel, MultimodalModel, TextModel, Tower
from triptych.check.shape import check_tower, sources_of
from triptych.check.token_counts import item_of
from triptych.errors import KernelError, Problem, TriptychError
from triptych.kernels.choice import imagined_gpu, interpreting
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.sources import Source
from triptych.parts.step import Step
from triptych.runner.prefix import BLOCK

if TYPE_CHECKING:
    from triptych.kernels.compiling import Compiled

DTYPE = torch.bfloat16
PROMPTS = (600, 37)  # rows: of many tiles and of one, and keys for more than one part while tokens are drawn
MISSING = "Triton is not installed, and it is what compiles kernels: pip install 'triton>=3.6' (for Linux)"
INTERPRETED = "TRITON_INTERPRET is set, and what is interpreted does not compile; run it without"


@dataclass
class Launches:
    """What was compiled for each op, and why an op was plain torch. `of` takes note of each choice as it is made."""

    found: Sequence[Compiled]
    compiled: dict[str, list[Compiled]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    op: str = ""
    seen: int = 0

    def of(self, op: str, why: str | None = None) -> None:
        """What was launched since the last choice is of the op that was chosen then."""
        known = self.compiled[self.op]
        known += [one for one in dict.fromkeys(self.found[self.seen :]) if one not in known]
        self.op, self.seen = op, len(self.found)
        if why:
            self.refused[op].add(why)

    def notes(self) -> Iterator[str]:
        """A line an op."""
        for op in sorted({*filter(None, self.compiled), *self.refused}):
            if ones := self.compiled.get(op):
                registers, shared = max(one.registers for one in ones), max(one.shared for one in ones)
                count = f"{len(ones)} kernel{'s' if len(ones) > 1 else ''}"
                spilled = max(one.stack for one in ones)
                sizes = f"at most {registers} registers a thread and {shared:,} bytes of shared memory"
                yield f"{op}: {count}, {sizes}, {f'{spilled} bytes spilled' if spilled else 'nothing spilled'}"
            yield from (f"{op}: plain torch, for {why}" for why in sorted(self.refused.get(op, ())))

    def problems(self, arch: int) -> Iterator[Problem]:
        """Kernels that would not run well there, or at all."""
        for op, ones in sorted(self.compiled.items()):
            yield from (Problem(f"{one.kernel} for sm_{arch}: {why}", op) for one in ones for why in one.problems(arch))


def check_kernels(assembled: Assembled, arch: int) -> tuple[list[str], list[Problem]]:
    """A note an op of what its kernels take, and what does not fit, when the model runs in bfloat16 on that GPU.

    Its steps are two prompts, then a token more of each, over a page a prompt and over small ones, as the runner cuts
    them; items are the largest. Nothing is said of gradients, nor of how tokens are drawn.
    Raises KernelError where nothing can be compiled, or the model cannot run so.
    """
    try:
        from triptych.kernels.compiling import compiling_for
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "triton":
            raise
        raise KernelError(MISSING) from None
    if interpreting():
        raise KernelError(INTERPRETED)
    module = deepcopy(assembled.module)
    for parameter in module.parameters():
        parameter.data = parameter.data.to(DTYPE)
    with compiling_for(arch) as found, torch.no_grad():
        launches = Launches(found)
        with imagined_gpu(launches.of):
            try:
                _run(replace(assembled, module=module))
            except TriptychError:
                raise
            except Exception as error:  # of a part, which may be anybody's, or of the compiler
                raise KernelError(f"running as on sm_{arch}: {type(error).__name__}: {error}") from error
        launches.of("")
    return [*launches.notes()], [*launches.problems(arch)]


def _run(assembled: Assembled) -> None:
    module = assembled.module
    if isinstance(module, Tower):
        check_tower(module, assembled, dtype=DTYPE)
        return
    if isinstance(module, MultimodalModel):
        for modality, rule in assembled.tokens.items():
            _items(module, item_of(assembled, modality, rule.largest({})))
    for ids, step in _steps(module, sources_of(module, assembled, count=len(PROMPTS), dtype=DTYPE)):
        hidden = module(ids, step.positions, step=step)
        if isinstance(module, LanguageModel | MultimodalModel):
            module.compute_logits(hidden)
        if (pooler := getattr(module, "pooler", None)) is not None:
            pooler(hidden, step)


def _items(module: MultimodalModel, items: Mapping[str, Sequence[Tensor]]) -> None:
    """Items through their tower, and their rows between those of a prompt."""
    inputs = {key: [x.to(DTYPE) if x.is_floating_point() else x for x in given] for key, given in items.items()}
    rows = module.embed_multimodal(**inputs)
    is_item = torch.tensor([False, *[True] * sum(map(len, rows)), False])
    ids = torch.zeros(len(is_item), dtype=torch.int64, device="meta")
    module.embed_input_ids(ids, rows, is_multimodal=is_item)


def _steps(module: TextModel | MultimodalModel, sources: Mapping[str, Source]) -> Iterator[tuple[Tensor, Step]]:
    """Ids and steps: prompts alone where nothing is kept of them, else these and the token after them."""
    most = max(1, (module.context or PROMPTS[0] + 1) - 1)
    prompts = [min(rows, most) for rows in PROMPTS]
    if not isinstance(module, LanguageModel | MultimodalModel):
        yield _ids(prompts), Step.of(prompts, device="meta", sources=sources)
        return
    for page in (max(prompts) + 1, 4 * BLOCK):
        pages = -(-(max(prompts) + 1) // page)
        layout = Layout.whole(module.cache_needs(), pages=pages * len(prompts), page=page, slots=len(prompts))
        cache = Cache(layout, dtype=DTYPE, device="meta")
        tables = [[tuple(range(pages * n, pages * (n + 1))) for n in range(len(prompts))]]
        for new, past in ((prompts, [0] * len(prompts)), ([1] * len(prompts), prompts)):
            step = cache.step_in(new, past=past, tables=tables, slots=[*range(len(prompts))])
            step.sources |= sources
            yield _ids(new), step


def _ids(lengths: Sequence[int]) -> Tensor:
    return torch.zeros(sum(lengths), dtype=torch.int64, device="meta")
