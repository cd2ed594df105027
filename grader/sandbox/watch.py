"""Watch a running job from outside: clock, computing, memory, number of processes, log and disk.

Where a cgroup or an rlimit holds a limit exactly, this is the second line and the one that knows the reason; elsewhere
it is best effort: the tree is looked at some twenty times a second, and a job can overshoot in between.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import proc
from .job import DEPTH, FILES, FLOOD, Limits

PERIOD = 0.05  # seconds between two looks
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[@-~]")
HIDDEN = dict.fromkeys(
    [
        *range(9),
        *range(11, 32),
        *range(127, 160),
        0x061C,
        *range(0x200E, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    ],
    "\ufffd",
)

stopping = threading.Event()  # set by stop_all: every running job is ended


class Log:
    """The head and the tail of what a job prints, in bounded memory."""

    def __init__(self, limit: int):
        self.half = max(limit // 2, 1)
        self.head, self.tail = bytearray(), bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self.half - len(self.head)
        self.head += data[:room]
        self.tail += data[max(room, 0) :]
        if len(self.tail) > 4 * self.half:
            del self.tail[: -self.half]

    def text(self) -> str:
        """Valid text: no control or direction characters, of a line that was overwritten only the last state."""
        head, tail = bytes(self.head), bytes(self.tail[-self.half :])
        lost = self.total - len(head) - len(tail)
        pieces = [head, tail] if lost else [head + tail]
        mark = f"\n[... {lost} bytes left out ...]\n"
        text = mark.join(piece.decode("utf-8", "replace") for piece in pieces)
        text = ESCAPES.sub("", text).replace("\r\n", "\n")
        return "\n".join(line.rstrip("\r").rpartition("\r")[2].translate(HIDDEN) for line in text.split("\n"))


def start_reader(pipe, log: Log) -> threading.Thread:
    """A thread that empties `pipe` into `log` until no process holds it any more."""

    def read() -> None:
        with pipe:
            while data := pipe.read1(1 << 16):
                log.add(data)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def when_ended(process: subprocess.Popen) -> threading.Event:
    """An event that is set when `process` has ended: `Popen.wait` with a timeout sleeps too long between its looks."""
    ended = threading.Event()

    def wait() -> None:
        process.wait()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    return ended


def disk_use(roots: Iterable[tuple[str, int | None]], enough: int) -> tuple[int, int]:
    """Bytes and number of files below some folders, following no link; stops where they are over `enough` and FILES.

    A folder that the grader cannot list or that lies deeper than DEPTH could hide anything: it counts as too many.

    Args:
        roots: (folder, owner): only entries of that owner count; None counts all.
    """
    size = files = 0
    queue = [(folder, owner, 0) for folder, owner in roots]
    while queue and files <= FILES and size <= enough:
        folder, owner, depth = queue.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    info = entry.stat(follow_symlinks=False)
                    if owner is None or info.st_uid == owner:
                        files += 1
                        size += info.st_blocks * 512 if hasattr(info, "st_blocks") else info.st_size
                        if stat.S_ISDIR(info.st_mode):
                            queue.append((entry.path, owner, depth + 1))
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone in between, or a file
        except OSError:
            files = FILES + 1
        if depth > DEPTH:
            files = FILES + 1
    return size, files


@dataclass
class Watched:
    """What was seen: `stopped` is the verdict for which the job was ended, or None, `why` the sentence for it."""

    cpu: float = 0.0
    memory: int = 0
    stopped: str | None = None
    why: str = ""
    interrupted: bool = False


def watch(
    process: subprocess.Popen,
    ended: threading.Event,
    limits: Limits,
    log: Log,
    roots: Callable[[], Iterable[tuple[str, int | None]]],
    *,
    overhead: int = 0,
    include_root: bool = False,
    killed_by_kernel: Callable[[], bool] = lambda: False,
) -> Watched:
    """Wait until `process` has ended or broken a limit; ending it is the caller's part.

    Args:
        process: the root of the tree.
        ended: set when it has ended.
        roots: the folders whose size counts, see `disk_use`.
        overhead: processes of the tree that are the sandbox's own.
        include_root: whether `process` itself is part of the job.
        killed_by_kernel: whether the kernel has ended one for want of memory.
    """
    seen = Watched()
    start = time.monotonic()
    next_disk, pause = start, 0.005
    while True:
        if ended.wait(pause):
            return seen
        now = time.monotonic()
        members = proc.tree(process.pid)
        if include_root and (own := proc.stat(process.pid)):
            members[process.pid] = own
        cpu, memory, tasks = proc.usage(members)
        if memory > limits.memory:
            memory = proc.shared_once(members)
        seen.cpu, seen.memory = max(seen.cpu, cpu), max(seen.memory, memory)
        if stopping.is_set():
            seen.interrupted = True
        elif now - start > limits.wall:
            seen.stopped, seen.why = "timeout", f"it ran longer than {limits.wall:g} seconds"
        elif cpu > limits.cpu:
            seen.stopped, seen.why = "timeout", f"it computed longer than {limits.cpu:g} seconds"
        elif memory > limits.memory or killed_by_kernel():
            seen.stopped, seen.why = "memory", f"it used more than {limits.memory >> 20} MiB of memory"
        elif log.total > FLOOD * limits.output:
            seen.stopped, seen.why = "output_limit", f"it printed more than {FLOOD * limits.output} bytes"
        elif tasks - overhead > limits.processes:
            seen.stopped, seen.why = "crash", f"it had more than {limits.processes} processes and threads"
        elif now >= next_disk:
            size, files = disk_use(roots(), limits.disk)
            if size > limits.disk:
                seen.stopped, seen.why = "output_limit", f"its files took more than {limits.disk >> 20} MiB"
            elif files > FILES:
                seen.stopped, seen.why = (
                    "output_limit",
                    f"it made more than {FILES} files, or folders deeper than {DEPTH}",
                )
            next_disk = time.monotonic() + max(0.5, 20 * (time.monotonic() - now))
        if seen.interrupted or seen.stopped:
            return seen
        pause = min(PERIOD, pause * 2) + 10 * (time.monotonic() - now)  # a look never takes a tenth of a processor
