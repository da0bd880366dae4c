"""The fastest launch configurations on the GPU at hand: python -m benchmarks.tune [--op NAME] [--json OUT].

Of each bucket of shapes, configurations are compiled first, and those that spill or do not fit are left out; then held
to plain torch, and those that give something else are left out; then timed beside the op's rule. A table has the
fastest where that is faster than the rule by more than noise: `kernels/<op>/tuned/<kind of GPU>.json`, below another
folder with --out. `--rehearse` does the same to a few of them at small sizes, in Triton's interpreter, by the clock of
the CPU, without compiling; what it writes is of no use, so it asks for a folder.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import islice
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from benchmarks import gpu_clock, kernel_times
from benchmarks.kernel_rows import Given, Row
from benchmarks.tune_spaces import SPACES, Space
from triptych.kernels.choice import Kernels, using
from triptych.kernels.tuned import Config, capability, gpu_kind, table_file, trying

Call = Callable[[], object]
Configs = Mapping[str, Config]
TOLERANCES = {4: 2e-5, 2: 1e-2}  # of the RMS of what is wanted, by the bytes of a number; both sides round
WORTH = 0.98  # of the rule's time, at most; less is noise
FEW = 3  # configurations that are rehearsed


@dataclass(frozen=True)
class Machine:
    """What the configurations are for: its name, what is wrong with a launch there, and microseconds of calls."""

    kind: str
    problems: Callable[[Call], list[str]]
    us: Callable[[Sequence[Call]], float]
    sets_of: Callable[[int], int] = lambda _: 1  # of tensors of so many bytes, so that no cache holds them
    small: bool = False

    @classmethod
    def gpu(cls) -> Machine:
        from triptych.kernels.compiling import compiling_for

        device = torch.device("cuda")
        arch = capability(device)

        def problems(call: Call) -> list[str]:
            try:
                with compiling_for(arch) as found:
                    call()
            except Exception as error:  # of a compiler, which some tiles are too much for
                return [f"{type(error).__name__}: {error}"]
            return [told for one in found for told in one.problems(arch)]

        return cls(gpu_kind(device), problems, lambda calls: gpu_clock.timed(calls).us, gpu_clock.sets_of)

    @classmethod
    def rehearsal(cls) -> Machine:
        return cls("rehearsed", lambda _: [], _cpu_us, small=True)


@dataclass(frozen=True)
class Found:
    """What came of a bucket: `config` is None where the rule stays. Times are shares of the rule's."""

    op: str
    bucket: str
    config: Config | None
    share: float
    tried: int
    left_out: int


class Tuner:
    """One op, and what it is given: the same of several sizes."""

    def __init__(self, space: Space, machine: Machine) -> None:
        self.space, self.machine = space, machine
        self._op: Callable[..., Any] = getattr(import_module(f"triptych.kernels.{space.op}"), space.op)
        self._sets = [self._drawn(row, sizes) for row, sizes in self._sizes()]
        self._wanted = [self._outcome(sets[0], "reference", {}) for sets in self._sets]

    def _sizes(self) -> list[tuple[Row, Mapping[str, Any]]]:
        rows = [row for row in kernel_times.rows() if row.op == self.space.op]
        if self.machine.small:
            return [(row, row.small) for row in rows]
        return [(row, row.sizes) for row in rows] + [(rows[0], {**rows[0].sizes, **more}) for more in self.space.more]

    def _drawn(self, row: Row, sizes: Mapping[str, Any]) -> list[Given]:
        first = row.make(**sizes)
        size = sum(x.nbytes for x in tree_leaves(first) if isinstance(x, Tensor))
        return [first, *(row.make(**sizes) for _ in range(self.machine.sets_of(size) - 1))]

    def buckets(self) -> dict[str, list[int]]:
        """Which of the sizes ask for a bucket."""
        found: dict[str, list[int]] = {}
        for number, sets in enumerate(self._sets):
            with trying(self.space.op, {}) as asked:
                self._run(sets[0])
            for bucket in sorted(asked):
                found.setdefault(bucket, []).append(number)
        return found

    def tuned(self) -> list[Found]:
        """The best of every bucket, one after the other: a later one is timed with what was found for those before."""
        best: dict[str, Config] = {}
        results = []
        for bucket, numbers in self.buckets().items():
            results.append(found := self._best(bucket, numbers, best))
            if found.config is not None:
                best[bucket] = found.config
        return results

    def _best(self, bucket: str, numbers: Sequence[int], others: Configs) -> Found:
        candidates = [*islice(self.space.candidates(bucket), FEW if self.machine.small else None)]
        sound = [each for each in candidates if self._is_sound({**others, bucket: each}, numbers)]
        found = partial(Found, self.space.op, bucket, tried=len(candidates), left_out=len(candidates) - len(sound))
        if not sound:
            return found(config=None, share=1.0)
        rule = [self._us(number, others) for number in numbers]

        def share(config: Config) -> float:
            times = (self._us(number, {**others, bucket: config}) for number in numbers)
            return mean(own / of_rule for own, of_rule in zip(times, rule, strict=True))

        fastest = min(sound, key=share)
        rule = [self._us(number, others) for number in numbers]  # the least of many is less than it is
        again = share(fastest)
        return found(config=fastest if again <= WORTH else None, share=again)

    def _is_sound(self, configs: Configs, numbers: Sequence[int]) -> bool:
        """Whether it compiles to what runs well, and does what the definition says."""
        with trying(self.space.op, configs):
            if any(self.machine.problems(partial(self._run, self._sets[number][0])) for number in numbers):
                return False
        return all(agree(self._outcome(self._sets[n][0], "triton", configs), self._wanted[n]) for n in numbers)

    def _outcome(self, given: Given, kernels: str, configs: Configs) -> list[Tensor]:
        """What a call returns and writes; memory that it takes holds no numbers before."""
        for name in self.space.writes:
            given[name].zero_()
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            with trying(self.space.op, configs):
                found = tree_leaves(self._run(given, kernels))
        finally:
            torch.use_deterministic_algorithms(False)
        return [*found, *(given[name].clone() for name in self.space.writes)]

    def _us(self, number: int, configs: Configs) -> float:
        with trying(self.space.op, configs):
            return self.machine.us([partial(self._run, given) for given in self._sets[number]])

    def _run(self, given: Given, kernels: str = "triton") -> object:
        with using(Kernels.of(kernels)), torch.no_grad():
            return self._op(**given)


def agree(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    """Whether the one is the other, but for rounding."""
    return all(_agrees(*pair) for pair in zip(found, wanted, strict=True))


def _agrees(y: Tensor, wanted: Tensor) -> bool:
    if not y.is_floating_point():
        return y.equal(wanted)
    error, size = (y - wanted).double().square().mean().sqrt(), wanted.double().square().mean().sqrt()
    return bool(error <= TOLERANCES[y.dtype.itemsize] * size)  # not so where either is no number


def write(found: Sequence[Found], kind: str, folder: Path) -> list[Path]:
    """Tables of the ops that were tuned, below a folder; buckets of other times stay in them."""
    files = []
    for op in dict.fromkeys(each.op for each in found):
        files.append(file := table_file(op, kind, folder))
        old = json.loads(file.read_text("utf-8")) if file.exists() else {}
        new = {each.bucket: each.config for each in found if each.op == op}
        kept = {bucket: config for bucket, config in {**old, **new}.items() if config is not None}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return files


def _cpu_us(calls: Sequence[Call]) -> float:
    start = perf_counter()
    for call in calls:
        call()
    return (perf_counter() - start) * 1e6 / len(calls)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--op", action="append", choices=[space.op for space in SPACES], help="repeatable")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="instead of the ops' own folders")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what came of each bucket there, too")
    parser.add_argument("--rehearse", action="store_true", help="a few, tiny, in the interpreter")
    args = parser.parse_args(words)
    if args.rehearse and args.out is None:
        parser.error("--rehearse needs --out, a folder for tables that are of no use")
    if not args.rehearse and not torch.cuda.is_available():
        print("there is no GPU: nothing is tuned (--rehearse tries what would be)", file=sys.stderr)
        return 1
    if args.rehearse:
        os.environ["TRITON_INTERPRET"] = "1"  # before the first kernel is imported
    machine = Machine.rehearsal() if args.rehearse else Machine.gpu()
    results: list[Found] = []
    for space in SPACES:
        if not args.op or space.op in args.op:
            for found in Tuner(space, machine).tuned():
                results.append(found)
                print(json.dumps(vars(found)), flush=True)
            write(results, machine.kind, args.out or kernel_times.ROOT / "kernels")
    if args.json:
        about = {} if args.rehearse else gpu_clock.device()
        args.json.write_text(json.dumps({**about, "buckets": [vars(each) for each in results]}, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
