"""What kernels compile to for a GPU that is not there: registers, shared memory, instructions.

`with compiling_for(90) as found: rms_norm.kernel.rms_norm(x, ...)` calls the real wrapper with tensors of the CPU. Each
launch inside compiles with the specialization that it would have on that GPU (dtypes, alignment, constants) and runs
nothing: what wrappers return is garbage, only `found` counts. It leans on internals of Triton, 3.6 to 3.9.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from triton import knobs
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from triptych.kernels.tuned import without_gpu

SHARED = {80: 163 * 1024, 86: 99 * 1024, 89: 99 * 1024, 90: 227 * 1024, 100: 227 * 1024}  # bytes that a block may have
PRODUCTS = re.compile(r"wgmma\.mma_async|mma\.sync|tcgen05\.mma")
LOADS_AHEAD = re.compile(r"async_copy_global_to_local|async_tma_copy_global_to_local")


@dataclass(frozen=True, eq=False)
class Compiled:
    """One kernel as it was launched; launches that run the same give the same."""

    kernel: str
    constants: Mapping[str, Any]
    signature: tuple[str, ...]
    registers: int
    stack: int  # bytes a thread that are not in registers
    shared: int  # bytes a block
    products: str  # what multiplies matrices on tensor cores; '' for nothing
    loads_ahead: bool  # whether a loop begins with loads under way

    def problems(self, arch: int) -> list[str]:
        """Why it would not run well, or at all."""
        found = []
        if self.shared > SHARED[arch]:
            found.append(f"{self.shared} bytes of shared memory, of {SHARED[arch]} that there are")
        if self.stack:
            found.append(f"{self.stack} bytes of stack a thread: registers are spilled")
        return found


@contextmanager
def compiling_for(arch: int = 90) -> Iterator[list[Compiled]]:
    """Launches of kernels compile for compute capability `arch` / 10, and do nothing else."""
    found: list[Compiled] = []
    known: dict[str, Compiled] = {}
    run, active = JITFunction.run, driver._active

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        del warmup  # it is what this does
        compiled = run(self, *args, grid=grid, warmup=True, **options)
        if compiled.hash not in known:
            known[compiled.hash] = _outcome(compiled)
        found.append(known[compiled.hash])
        return compiled

    driver.set_active(_NoDevice(arch))
    JITFunction.run = compile_only
    told = without_gpu.set(arch)
    try:
        yield found
    finally:
        without_gpu.reset(told)
        JITFunction.run = run
        driver._active = active


class _NoDevice:
    """Just enough of a driver for a kernel to be specialized and compiled."""

    def __init__(self, arch: int) -> None:
        self._target, self._arch = GPUTarget("cuda", arch, 32), arch

    def get_current_target(self) -> Any:
        return self._target

    def get_current_device(self) -> int:
        return -self._arch  # a number of its own: caches of a device that is there stay as they are

    def get_current_stream(self, device: int) -> int:  # noqa: ARG002  (the signature is the driver's)
        return 0


def _outcome(compiled: Any) -> Compiled:
    names, used = compiled.src.fn.arg_names, _resources(compiled.asm["cubin"])
    products = PRODUCTS.search(compiled.asm["ptx"])
    return Compiled(
        kernel=compiled.metadata.name,
        constants={names[at[0]]: value for at, value in compiled.src.constants.items() if len(at) == 1},
        signature=tuple(map(str, compiled.src.signature.values())),
        registers=used["REG"],
        stack=used["STACK"],
        shared=compiled.metadata.shared,
        products=products.group() if products else "",
        loads_ahead=_loads_ahead(compiled.asm["ttgir"]),
    )


def _loads_ahead(ttgir: str) -> bool:
    before, loop, _ = ttgir.partition("scf.for")
    return bool(loop and LOADS_AHEAD.search(before))


def _resources(cubin: bytes) -> dict[str, int]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        asked = [knobs.nvidia.cuobjdump.path, "-res-usage", str(file)]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    line = next(line for line in told.splitlines() if "REG:" in line)
    return {name: int(number) for name, number in re.findall(r"(\w+):(\d+)", line)}
