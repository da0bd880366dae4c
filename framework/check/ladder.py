"""`triptych check`: a spec by itself, its shapes on tensors without memory, its weights table against a header."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from triptych.arguments import check_arguments
from triptych.assembly import Assembled, assemble
from triptych.capabilities.report import capability_report
from triptych.check.gpu import check_kernels
from triptych.check.shape import check_shapes
from triptych.errors import CapabilityError, Problem, SpecError, TriptychError
from triptych.spec.catalog import own_spec, sample_config, spec_file
from triptych.spec.claims import claim_problems
from triptych.spec.document import Tree
from triptych.spec.merge import load_tree
from triptych.spec.rungs import BELOW, RUNGS, Report, Rung, gpu_named
from triptych.spec.validate import validate
from triptych.weights import Checkpoint, Matching, Table, match, names_in, tables, unused_rows

FRAGMENT = "a fragment: it is checked with what is built on it"


def check_spec(
    spec: str, *, checkpoint: Path | None = None, rungs: Iterable[str] = RUNGS, gpu: str | None = None
) -> Report:
    """Climb `rungs`, from the lowest, as far as the spec goes; a failed rung leaves out those above it.

    `spec` is a registered name, the path of a YAML file, or a checkpoint folder that brings its spec, as a trained one
    does. Without a checkpoint the spec's own `sample` config is used.
    `gpu` names the architecture of the last rung, `sm_90`. Raises OptionError for one that is not known.
    """
    check_arguments(
        spec=(spec, str), checkpoint=(checkpoint, Path | None), rungs=(rungs, Iterable), gpu=(gpu, str | None)
    )
    arch = None if gpu is None else gpu_named(gpu)
    climbed = tuple(map(Rung, rungs))
    try:
        folder = Path(spec) if own_spec(spec) is not None else None
        climb = _Climb(spec_file(spec), checkpoint or folder, arch)
    except TriptychError as error:
        climbed[0].problems += error.problems
        return Report(spec, _left_out(climbed))
    for rung in climbed:
        try:
            rung.skipped = STEPS[rung.name](climb, rung)
        except TriptychError as error:
            rung.problems += error.problems
        if rung.problems:
            break
    return Report(spec, _left_out(climbed), str(climb.path))


def _left_out(rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
    """The rungs, those above a failed one with that for a reason."""
    failed = next((rung.number for rung in rungs if rung.problems), len(RUNGS))
    for rung in rungs:
        if rung.number > failed:
            rung.skipped = BELOW
    return rungs


class _Climb:
    """What is known of one spec, more with each rung. A step returns '' when it was climbed, else why it was not."""

    def __init__(self, path: Path, folder: Path | None, arch: int | None) -> None:
        self.path, self.folder, self.arch = path, folder, arch
        self.checkpoint: Checkpoint | None = None
        self.built: Assembled | TriptychError | None = None

    def spec(self, rung: Rung) -> str:
        rung.problems += validate(self.path)
        return ""

    def capabilities(self, rung: Rung) -> str:
        """By the file alone, then by the model that is built of it."""
        tree = load_tree(self.path)
        if problems := [*claim_problems(tree)]:
            raise SpecError(problems)
        try:
            self.built = self._build(tree)
        except CapabilityError:
            raise
        except TriptychError as error:
            self.built = error
            return "no model can be built to prove it; the rung `shape` says why"
        if self.built is not None:
            report = capability_report(self.built.module)
            rung.problems += report.contradictions
            rung.notes += report.unflagged
        return ""

    def shape(self, rung: Rung) -> str:
        if isinstance(self.built, TriptychError):
            raise self.built
        if self.built is None:
            return FRAGMENT
        rung.notes += check_shapes(self.built)
        unused = unused_rows(self.built.module, self._names(self.built)[0])
        if own := [row.path for row in unused if row.place is None or row.place.file == str(self.path)]:
            rung.notes.append(
                f"rows of weights that this config does not use: {', '.join(own)}"
            )  # a base may offer more
        return ""

    def weights(self, rung: Rung) -> str:
        if not isinstance(self.built, Assembled):
            return FRAGMENT
        if self.checkpoint is None:
            return "no checkpoint; --checkpoint DIR names one"
        found = match(self.built.module, self._names(self.built), self.checkpoint.tensors)
        rung.problems += [Problem(f"{f.fault}: {f.message}", f.path) for f in found.findings]
        rung.notes += _notes(found)
        return ""

    def gpu(self, rung: Rung) -> str:
        if not isinstance(self.built, Assembled):
            return FRAGMENT
        if self.arch is None:
            return "no GPU; --gpu sm_90 names one"
        notes, problems = check_kernels(self.built, self.arch)
        rung.notes += notes
        rung.problems += problems
        return ""

    def _names(self, built: Assembled) -> list[Table]:
        """Every way in which the tensors of a checkpoint may be named."""
        scopes = built.plan.scopes
        return names_in(self.folder, built.module, scopes) if self.folder is not None else tables(scopes)

    def _build(self, tree: Tree) -> Assembled | None:
        """For the checkpoint's config, else for the sample in the spec itself; None for a spec without one."""
        if self.folder:
            self.checkpoint = Checkpoint(self.folder)
            return assemble(tree, self.checkpoint.config, name=self.path.stem)
        if not tree.get("sample") or not (tree.get("language_model") or tree.get("tower")):
            return None
        return assemble(tree, sample_config(tree), name=self.path.stem)


STEPS: dict[str, Callable[[_Climb, Rung], str]] = {
    "spec": _Climb.spec,
    "capabilities": _Climb.capabilities,
    "shape": _Climb.shape,
    "weights": _Climb.weights,
    "gpu": _Climb.gpu,
}


def _notes(found: Matching) -> Iterator[str]:
    read = {shard.name for shards in found.shards.values() for shard in shards if shard.stored}
    layout = f", names as in {found.table.name}" if found.table.name else ""
    yield f"{len(found.shards)} parameters from {len(read)} tensors{layout}"
    for word, names in (("dropped", found.dropped), ("not needed", found.unneeded)):
        if names:
            yield f"{len(names)} tensors {word}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
