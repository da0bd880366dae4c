"""How much memory the cache of a batch may take, asked before it is taken."""

from __future__ import annotations

from pathlib import Path

import torch

SHARE = 0.8  # of what is free; the rest is for activations
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def cache_budget(device: torch.device) -> int | None:
    """Bytes that a cache may take on `device`; None where the system does not say."""
    free = free_bytes(device)
    return None if free is None else int(free * SHARE)


def free_bytes(device: torch.device) -> int | None:
    """Bytes that are free on `device`; None where the system does not say."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _free_on_host()


def _free_on_host() -> int | None:
    """What Linux counts as available, or what the control group leaves of its limit, whichever is less."""
    if not _MEMINFO.is_file():
        return None
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text(encoding="ascii").splitlines() if ":" in line)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    return available if limit is None or used is None else max(0, min(available, limit - used))


def _number(file: Path) -> int | None:
    text = file.read_text(encoding="ascii").strip() if file.is_file() else ""
    return int(text) if text.isdigit() else None
