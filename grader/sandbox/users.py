"""Users of their own for jobs (root only), and the folders that change hands between the grader and a job.

Each run borrows a user id that nobody else has; a lock file keeps two graders of one machine from taking the same.
Ids lie above 60577, where Debian, Fedora and systemd hand out none to people or services.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import GraderFault
from .job import DEPTH

FIRST, COUNT = 60600, 400
SCRATCH = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/dev/mqueue")  # where any user may write


@contextlib.contextmanager
def lease(first: int = 0) -> Iterator[int]:
    """A user id for one run; what earlier runs left behind under it is gone."""
    for number in range(COUNT):
        user = FIRST + (first + number) % COUNT
        with contextlib.suppress(KeyError):
            pwd.getpwuid(user)
            continue
        folder = "/run" if os.access("/run", os.W_OK) else tempfile.gettempdir()
        lock = os.open(
            f"{folder}/neuralization-{user}.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        try:
            wipe(user)
            yield user
        finally:
            wipe(user)
            os.close(lock)
        return
    raise GraderFault("grader_error", f"all {COUNT} user ids from {FIRST} on are in use")


def left_by(user: int) -> Iterator[str]:
    """The topmost files and folders of `user` in the places where any user may write."""
    queue = [root for root in SCRATCH if os.path.isdir(root) and not os.path.islink(root)]
    while queue:
        folder = queue.pop()
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                if info.st_uid == user:
                    yield entry.path
                elif stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_IWOTH:
                    queue.append(entry.path)


def wipe(user: int) -> None:
    """Remove what `user` left in the places where any user may write."""
    for path in list(left_by(user)):
        remove(path)


def remove(path: str) -> None:
    """Remove a file or a whole tree that a job made: of any depth, with any rights, following no link."""
    with contextlib.suppress(OSError):
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)
            return
        os.chmod(path, 0o700)
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(path)


def _clear(folder: int) -> list[str]:
    """Remove all but the folders of a folder; the names of these."""
    folders = []
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            os.unlink(entry.name, dir_fd=folder)
    return folders


def _empty(top: int) -> None:
    """Empty a folder, step by step down and back up by `..`, so that neither depth nor the length of paths matters."""
    here, above = os.dup(top), []
    folders = _clear(here)
    while folders or above:
        if folders:
            name = folders.pop()
            os.chmod(name, 0o700, dir_fd=here)
            there = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            above.append((name, folders))
            folders = _clear(there)
        else:
            there = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
            name, folders = above.pop()
            os.rmdir(name, dir_fd=there)
        os.close(here)
        here = there
    os.close(here)


def entries_of(work: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every path below `work` (itself first) with its lstat; folders deeper than DEPTH are removed on the way."""
    yield work, os.lstat(work)
    queue = [(work, 0)]
    while queue:
        folder, depth = queue.pop()
        for entry in list(os.scandir(folder)):
            info = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode):
                if depth >= DEPTH:
                    remove(entry.path)
                    continue
                queue.append((entry.path, depth + 1))
            yield entry.path, info


def give(work: str, user: int) -> None:
    """Make the grader's files below `work` those of the job's user; a file with a second name elsewhere stays."""
    for path, info in entries_of(work):
        if info.st_uid == os.geteuid() and (stat.S_ISDIR(info.st_mode) or info.st_nlink == 1):
            os.lchown(path, user, user)
    os.chmod(work, 0o700)


def take(work: str, user: int | None) -> None:
    """Make the job's files below `work` the grader's again, readable for it, without set-id bits."""
    os.chmod(work, 0o700)
    if user is not None:
        os.lchown(work, os.geteuid(), os.getegid())
    for path, info in entries_of(work):
        if info.st_uid != (os.geteuid() if user is None else user):
            continue
        if user is not None:
            os.lchown(path, os.geteuid(), os.getegid())
        if stat.S_ISDIR(info.st_mode):
            os.chmod(path, 0o700)
        elif stat.S_ISREG(info.st_mode):
            os.chmod(path, stat.S_IMODE(info.st_mode) & 0o777 | 0o600)


def hide(path: Path) -> None:
    """Take the rights of group and others from a file or folder, so that no job's user can pass it."""
    info = os.lstat(path)
    if not stat.S_ISLNK(info.st_mode) and info.st_mode & 0o077:
        os.chmod(path, stat.S_IMODE(info.st_mode) & 0o700)


def fresh_folder(path: str) -> None:
    """An empty folder at `path`, whatever lay there."""
    if os.path.lexists(path):
        remove(path)
    if os.path.lexists(path):
        shutil.rmtree(path)
    os.mkdir(path, 0o700)
