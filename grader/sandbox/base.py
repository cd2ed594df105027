"""What every level of the sandbox can do."""

from __future__ import annotations

import abc
import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import watch
from .job import Job, Outcome

PREFIX = "neuralization-job-"  # of folders for jobs


class Sandbox(abc.ABC):
    """Runs jobs; several threads may run jobs in one sandbox at once.

    Attributes:
        name: A, B, C or none.
        probes: what was tried inside it: [{"name", "closed", "detail"}]; all closed, or the sandbox is not to be had.
    """

    name: str
    probes: list[dict]

    @abc.abstractmethod
    def run(self, job: Job) -> Outcome:
        """Run a job to its end; on return, and on any exception, none of its processes is alive."""

    def inside(self, job: Job, path: Path) -> str:
        """How the job names `path`: every level shows a file at the path that it has outside."""
        return os.path.abspath(path)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for job folders that a job's user can pass but not list; removed with all that jobs made in it.

        What graders that were killed have left behind goes too: a folder is in use as long as somebody holds its lock.
        """
        for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            if is_left_over(left):
                self.remove(left)
        folder = tempfile.mkdtemp(prefix=PREFIX)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            os.chmod(folder, 0o711)
            yield Path(folder)
        finally:
            os.close(lock)
            self.remove(Path(folder))

    def hide(self, *paths: Path) -> None:  # noqa: B027  (most levels have nothing to do)
        """Make files and folders unreadable to jobs where the level does not hide them by itself (C)."""

    def remove(self, path: Path) -> None:
        """Remove a file or folder that a job may have made, however deep and with whatever rights."""
        from .users import remove

        remove(os.fspath(path))


def is_left_over(folder: Path) -> bool:
    """Whether it is ours, older than a minute (a new one is not locked yet), and nobody holds its lock."""
    try:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or time.time() - status.st_ctime < 60:
            return False
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(lock)


def stop_all() -> None:
    """End every running job: each `run` then raises GraderFault. For Ctrl-C while other threads run jobs."""
    watch.stopping.set()
