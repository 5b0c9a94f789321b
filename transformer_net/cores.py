"""How many threads this process may compute with: its affinity, and the quota of its container."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_cores(cgroup: Path = _CGROUP, membership: Path = _MEMBERSHIP) -> int:
    """Cores that this process may use: its affinity, or its control group's CPU quota where that is less.

    Without the quota, a container of 2 cores on a host of 64 would start 64 threads that wait for each other.

    Args:
        cgroup: Where the control groups are mounted; version 2 and version 1 are understood.
        membership: The file that says which of them this process is in.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _folders(cgroup, membership):
        if (quota := _quota(folder)) is not None:
            cores = min(cores, quota)
    return max(1, cores)


def default_threads() -> int:
    """`available_cores`, or OMP_NUM_THREADS if that is fewer: PyTorch respects it, so others do."""
    cores = available_cores()
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(wanted)) if wanted.isascii() and wanted.isdigit() and int(wanted) else cores


def _folders(cgroup: Path, membership: Path) -> Iterator[Path]:
    """Where a quota of this process may be written: its control group and all that this one lies in.

    A container sees its own group as the root; a service of the host lies some levels below it.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    paths = {"/"}
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "none", "/"][:3]
        if not controllers or "cpu" in controllers.split(","):  # version 2 has a single group without names
            paths.update(str(parent) for parent in (Path(path), *Path(path).parents))
    for root in (cgroup, cgroup / "cpu", cgroup / "cpu,cpuacct"):
        for path in sorted(paths):
            yield root / path.lstrip("/")


def _quota(folder: Path) -> int | None:
    """The quota in a control group's folder, in whole cores; None where there is none that can be read."""
    try:
        if (unified := folder / "cpu.max").is_file():
            quota, period = unified.read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return math.ceil(int(quota) / int(period)) if quota != "max" and int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
