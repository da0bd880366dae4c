"""What an experiment does, by the name of its task: rows of measurements, each one whole when it comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from triptych.assembly import assemble
from triptych.check.shape import check_shapes
from triptych.experiments.document import Task
from triptych.experiments.read import Ready
from triptych.spec.catalog import sample_config

Row = Mapping[str, object]


def check(ready: Ready) -> Iterator[Row]:
    """One row: the model is built on meta and run on inputs without values; its sizes are what is measured.

    Raises SpecError for what does not fit together.
    """
    config = sample_config(ready.spec, needed_by=f"experiment {ready.name}")
    assembled = assemble(ready.spec, config, name=ready.name)
    check_shapes(assembled)
    module = assembled.module
    yield {
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        **{f"{name}_tokens": rule.count(*rule.largest, {}) for name, rule in assembled.tokens.items()},
        "width": module.width,
    }


TASKS: Mapping[Task, Callable[[Ready], Iterator[Row]]] = {"check": check}
