"""How near each kernel comes to what the GPU can do, and to its peers: python -m benchmarks.kernels [--op NAME].

The ceilings are measured first, in the same process. An op whose proofs fail on this GPU is not reported. Without a GPU
nothing is timed; `--rehearse` then calls each op and each peer at small sizes, and tells whether they agree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from benchmarks import attention_rows, expert_rows, kernel_rows, sample_rows
from benchmarks.gpu_clock import Timing, ceilings, device, sets_of, timed
from benchmarks.kernel_rows import Given, Row
from triptych.kernels.choice import Kernels, using

ROOT = Path(__file__).resolve().parent.parent


def rows() -> list[Row]:
    """All that is timed."""
    return [*kernel_rows.rows(), *sample_rows.rows(), *attention_rows.rows(), *expert_rows.rows()]


def op_of(row: Row, module: str = "") -> Callable[..., Any]:
    """The op as parts call it, or as a module of it has it."""
    found: Callable[..., Any] = getattr(import_module(f"triptych.kernels.{row.op}{module}"), row.op)
    return found


def proven(op: str) -> bool:
    """Whether the op's proofs pass on this GPU."""
    asked = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/kernels/test_on_gpu.py", "-k", f"{op}-"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode == 0


def measured(row: Row, tops: Mapping[str, float]) -> dict[str, Any]:
    """One row of results."""
    given = row.make(**row.sizes)
    size = sum(x.nbytes for x in tree_leaves(given) if isinstance(x, torch.Tensor))
    sets = [given, *(row.make(**row.sizes) for _ in range(sets_of(size) - 1))]
    with using(Kernels.of("triton")):
        own = _timed(op_of(row), sets)
    others = {name: _beside(peer, sets) for name, peer in {**row.peers, "compiled": _compiled(row)}.items()}
    ran = {name: each for name, each in others.items() if isinstance(each, Timing)}
    limit = _limit(row, tops)
    return {
        "op": row.op,
        "shape": row.shape,
        "us": round(own.us, 2),
        "p20": round(own.low, 2),
        "p80": round(own.high, 2),
        "graph": own.is_graph,
        "GB/s": round(row.bytes / own.us / 1e3, 1),
        "TFLOP/s": round(row.flops / own.us / 1e6, 1),
        "of limit": round(limit / own.us, 3),
        "floor": row.floor,
        "peers": {name: {"us": round(t.us, 2), "ratio": round(t.us / own.us, 3)} for name, t in ran.items()},
        "not beside": {name: each for name, each in others.items() if name not in ran},
        "passes": own.us * row.floor <= limit and all(own.us <= t.us for t in ran.values()),
    }


def rehearsed(row: Row) -> Iterator[str]:
    """What of the row does not agree with the definition, at small sizes."""
    given = row.make(**{**row.small, **row.tried})
    wanted = tree_leaves(op_of(row)(**given))
    for name, peer in row.peers.items():
        if not row.agrees(given, tree_leaves(peer(**given)), wanted):
            yield f"{row.op}: {name} gives something else"


def _limit(row: Row, tops: Mapping[str, float]) -> float:
    """The microseconds that no kernel can do without on this GPU."""
    return max(row.bytes / tops["copy GB/s"] / 1e3, row.flops / tops["bf16 TFLOP/s"] / 1e6)


def _compiled(row: Row) -> Callable[..., Any]:
    compiled: Callable[..., Any] = torch.compile(op_of(row), mode="max-autotune-no-cudagraphs", dynamic=False)
    return compiled


def _timed(call: Callable[..., Any], sets: list[Given]) -> Timing:
    return timed([partial(call, **given) for given in sets])


def _beside(peer: Callable[..., Any], sets: list[Given]) -> Timing | str:
    """A peer's time, or why it has none; an op as a peer is plain torch."""
    try:
        with using(Kernels.of("reference")):
            return _timed(peer, sets)
    except Exception as error:  # of somebody else's
        return f"{type(error).__name__}: {error}".splitlines()[0]


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--op", action="append", help="this one alone; repeatable")
    parser.add_argument("--json", metavar="OUT", help="write the results there, too")
    parser.add_argument("--rehearse", action="store_true", help="time nothing: does all of it agree, at small sizes?")
    args = parser.parse_args(words)
    chosen = [row for row in rows() if not args.op or row.op in args.op]
    if unknown := set(args.op or ()) - {row.op for row in chosen}:
        parser.error(f"nothing is measured of {', '.join(sorted(unknown))}; of {', '.join(_names())} it is")
    if args.rehearse:
        wrong = [told for row in chosen for told in rehearsed(row)]
        print("\n".join(wrong) or f"{len(chosen)} rows agree with their peers")
        return bool(wrong)
    if not torch.cuda.is_available():
        print("there is no GPU: nothing is timed (--rehearse tries what would be)", file=sys.stderr)
        return 1
    return report(chosen, args.json)


def report(chosen: list[Row], out: str | None) -> int:
    """Print the table and keep it; 1 where an op is not proven, or is below its floor."""
    tops = ceilings()
    print(json.dumps({**device(), **{name: round(top, 1) for name, top in tops.items()}}))
    red = {op for op in dict.fromkeys(row.op for row in chosen) if not proven(op)}
    results = []
    for row in chosen:
        if row.op in red:
            print(f"{row.op}: its proofs fail on this GPU, so it is not timed; pytest -m gpu -k {row.op}")
            continue
        results.append(measured(row, tops))
        print(json.dumps(results[-1]))
    if out is not None:
        Path(out).write_text(json.dumps({**device(), "ceilings": tops, "rows": results}, indent=1), encoding="utf-8")
    return int(bool(red) or not all(result["passes"] for result in results))


def _names() -> list[str]:
    return sorted({row.op for row in rows()})
