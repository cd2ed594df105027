"""An exact limit on a job's memory, where the grader may make control groups (v1 or v2)."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import time

from .job import Limits

PREFIX = "neuralization-"
_numbers = itertools.count()


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _own() -> dict[str, str]:
    """Path of the grader's own group per controller; v2 has the key "" ."""
    lines = (line.split(":", 2) for line in _read("/proc/self/cgroup").splitlines())
    return {name: path for _, names, path in lines for name in names.split(",")}


def _mounts() -> list[tuple[str, str, list[str]]]:
    fields = [line.split() for line in _read("/proc/self/mounts").splitlines()]
    return [(f[1], f[2], f[3].split(",")) for f in fields if f[2] in ("cgroup", "cgroup2")]


@functools.cache
def parent() -> tuple[str, int] | None:
    """The folder in which groups can be made, and its version; None where there is none."""
    own = _own()
    for point, kind, options in _mounts():
        version = 2 if kind == "cgroup2" else 1
        if version == 1 and "memory" not in options:
            continue
        folder = point + own.get("" if version == 2 else "memory", "/").rstrip("/")
        while len(folder) >= len(point):
            usable = version == 1 or "memory" in _read(f"{folder}/cgroup.subtree_control").split()
            if usable and _may_make(folder):
                return folder, version
            folder = os.path.dirname(folder)
    return None


def _may_make(folder: str) -> bool:
    """Whether a group can be made here and a process moved into it; groups of dead graders are removed."""
    if not os.access(folder, os.W_OK) or not os.access(f"{folder}/cgroup.procs", os.W_OK):
        return False
    for name in os.listdir(folder):
        if name.startswith(PREFIX) and not os.path.exists(f"/proc/{name.split('-')[1]}"):
            _remove(f"{folder}/{name}")
    trial = f"{folder}/{PREFIX}{os.getpid()}-trial"
    try:
        os.mkdir(trial)
    except OSError:
        return False
    _remove(trial)
    return True


def _remove(folder: str) -> None:
    for _ in range(100):  # the last process is dead but may not have left yet
        with contextlib.suppress(FileNotFoundError):
            try:
                os.rmdir(folder)
            except OSError:
                time.sleep(0.005)
                continue
        return


class Group:
    """The control group of one job; where none is to be had it limits nothing."""

    def __init__(self, limits: Limits):
        self.folder: str | None = None
        if (place := parent()) is None:
            return
        folder = f"{place[0]}/{PREFIX}{os.getpid()}-{next(_numbers)}"
        try:
            os.mkdir(folder)
        except OSError:
            return
        self.folder = folder
        if place[1] == 2:
            self._set("memory.max", limits.memory)
            self._set("memory.swap.max", 0)
        else:
            self._set("memory.limit_in_bytes", limits.memory)
            self._set("memory.memsw.limit_in_bytes", limits.memory)

    def _set(self, name: str, value: int) -> None:
        with contextlib.suppress(OSError), open(f"{self.folder}/{name}", "w") as file:  # no swap accounting, for one
            file.write(str(value))

    def add(self, pid: int) -> None:
        """Put a process into the group, and with it all that it starts from now on."""
        if self.folder:
            self._set("cgroup.procs", pid)

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed a process of this job for want of memory."""
        if not self.folder:
            return False
        lines = (_read(f"{self.folder}/memory.events") + _read(f"{self.folder}/memory.oom_control")).splitlines()
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines)

    def remove(self) -> None:
        if self.folder:
            _remove(self.folder)
