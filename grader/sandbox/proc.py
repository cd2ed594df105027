"""The process tree, read from /proc. Imported by the grader and by the launcher, so it needs nothing but `os`."""

import os

TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def stat(pid: int) -> "list[str] | None":
    """Fields of /proc/PID/stat from the third on (state first), or None if there is no such process any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read().decode("ascii", "replace")
    except OSError:
        return None
    return line.rpartition(")")[2].split()  # the name before may hold spaces and brackets


def tree(root: int) -> "dict[int, list[str]]":
    """Every living descendant of `root`, without it, with its fields: one pass over /proc.

    Orphans are in it as long as `root` is a subreaper or the tree has a PID namespace of its own.
    """
    children: dict[int, list[int]] = {}
    fields = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return {}
    for name in names:
        if name.isdigit() and (found := stat(int(name))):
            fields[int(name)] = found
            children.setdefault(int(found[1]), []).append(int(name))
    found, queue = {}, [root]
    while queue:
        for child in children.get(queue.pop(), ()):
            if fields[child][0] not in "ZX":
                found[child] = fields[child]
            queue.append(child)
    return found


def usage(members: "dict[int, list[str]]") -> "tuple[float, int, int]":
    """Seconds of computing (with that of reaped children), bytes in memory, and processes and threads of a tree."""
    cpu = sum(int(value) for fields in members.values() for value in fields[11:15]) / TICK
    return cpu, sum(int(f[21]) for f in members.values()) * PAGE, sum(int(f[17]) for f in members.values())


def shared_once(members: "dict[int, list[str]]") -> int:
    """Bytes in memory where pages that processes share count once; dearer than `usage`, which counts them each time."""
    total = 0
    for pid, fields in members.items():
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                total += next(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            pass  # it has ended since, and given its memory back
        except OSError:
            total += int(fields[21]) * PAGE
    return total
