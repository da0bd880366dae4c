"""The model of an experiment: its spec with random weights, or with those of a checkpoint."""

from __future__ import annotations

from pathlib import Path

from triptych.experiments.read import Ready
from triptych.tasks import Model, load, random_init


def load_model(ready: Ready, spec: Path) -> Model:
    """The model of the file `spec`; with random weights it has the sizes of the spec's sample.

    Raises what `load` and `random_init` do.
    """
    run, checkpoint = ready.settings.run, ready.settings.checkpoint
    if checkpoint is None:
        return random_init(str(spec), device=run.device, dtype=run.dtype, seed=run.seed, kernels=run.kernels)
    return load(checkpoint, spec=str(spec), device=run.device, dtype=run.dtype, kernels=run.kernels)
