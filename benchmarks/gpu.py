"""Whole models on a GPU beside what it can do, and beside transformers: python -m benchmarks.gpu [--case NAME].

Random weights in bfloat16, greedy, on random ids, the end of text ignored. A step of decoding cannot take less than the
weights that it reads and the rows of the cache at the rate of a copy; a prefill, or an image, not less than its
products at the rate of a large one. Both rates are measured first, in the same process. `--rehearse` runs all cases
tiny, wherever that is: it holds that peers agree, and tells no times.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from benchmarks import gpu_images, gpu_ready, gpu_text, gpu_trace
from benchmarks.gpu_clock import ceilings, device
from benchmarks.gpu_models import Benchmark

CASES: list[Benchmark] = [*gpu_text.CASES, *gpu_images.CASES, *gpu_trace.CASES, *gpu_ready.CASES]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="repeatable")
    parser.add_argument("--no-peer", action="store_true", help="triptych alone")
    parser.add_argument("--json", metavar="OUT", help="write the results there, too")
    parser.add_argument("--rehearse", action="store_true", help="tiny, wherever that is: do peers agree?")
    args = parser.parse_args(words)
    if not args.rehearse and not torch.cuda.is_available():
        print("there is no GPU: nothing is timed (--rehearse tries what would be)", file=sys.stderr)
        return 1
    tops = {} if args.rehearse else ceilings()
    about = {} if args.rehearse else {**device(), "ceilings": tops}
    results = []
    for case in CASES:
        if not args.case or case.name in args.case:
            results.append(case.rehearsed() if args.rehearse else case.measured(tops, peer=not args.no_peer))
            print(json.dumps(results[-1]), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps({**about, "cases": results}, indent=1), encoding="utf-8")
    return int(not all(each["passes"] for each in results))


if __name__ == "__main__":
    sys.exit(main())
