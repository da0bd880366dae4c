"""Settings of the whole suite.

The repo root must not be importable: its `kernels` is not Hugging Face's, its `registry` not `triptych.registry`; and
tensors are so small here that more than one thread only makes runs slower and less steady.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]  # `python -m pytest` puts it there

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that tests start
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is downloaded by a test
