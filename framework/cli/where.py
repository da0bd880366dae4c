"""Where and how a model runs, as words on a command line."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from typing import Any

KERNELS = "which ops run on Triton kernels: auto (default), triton or reference; of some, auto,rms_norm=reference"


def add_where(parser: argparse.ArgumentParser) -> None:
    """The flags, which mean what the arguments of `load` of the same names do."""
    parser.add_argument("--device", default="cpu", help="where the model runs (default cpu)")
    parser.add_argument("--dtype", help="float32, bfloat16 or float16 (default: the checkpoint's)")
    parser.add_argument("--kernels", default="auto", metavar="WHICH", help=KERNELS)


def where_of(args: argparse.Namespace) -> dict[str, Any]:
    """What they were given as."""
    return {"device": args.device, "dtype": args.dtype, "kernels": args.kernels}
