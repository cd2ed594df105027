"""Read what a submission left behind, without trusting a name, a link or a size."""

import os
import stat
from pathlib import Path

from ..errors import StudentFault

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
NO_WAIT = getattr(os, "O_NONBLOCK", 0)


def read_output(folder: Path, name: str, limit: int) -> bytes:
    """The bytes of the regular file `name` of `folder`; call it when the job's processes are dead.

    The folder is opened first and the file under it, neither through a link; then the open file itself is looked at,
    so nothing can be exchanged between look and use. A FIFO does not block.

    Args:
        folder: where the job wrote; a real folder, not a link to one.
        name: a bare name, without a slash.
        limit: the largest size in bytes that is read.

    Raises:
        StudentFault: missing_file if there is none; bad_output if it is not regular, has another link, or is larger.
    """
    if not name or name in (".", "..") or "/" in name or "\0" in name or os.sep in name:
        raise ValueError(f"{name!r} is no bare file name")
    flags = os.O_RDONLY | NO_FOLLOW | NO_WAIT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        if os.open in os.supports_dir_fd:
            parent = os.open(folder, flags | os.O_DIRECTORY)
            try:
                file = os.open(name, flags, dir_fd=parent)
            finally:
                os.close(parent)
        else:  # Windows, where only the student's own check runs
            file = os.open(Path(folder, name), flags)
    except FileNotFoundError:
        raise StudentFault("missing_file", f"the program wrote no file {name}") from None
    except OSError:  # a link, a socket, a folder without rights
        raise StudentFault("bad_output", f"{name} is no regular file") from None
    try:
        info = os.fstat(file)
        if not stat.S_ISREG(info.st_mode):
            raise StudentFault("bad_output", f"{name} is no regular file")
        if info.st_nlink != 1:
            raise StudentFault("bad_output", f"{name} is a link to another file")
        if info.st_size > limit:
            raise StudentFault("bad_output", f"{name} has {info.st_size} bytes; {limit} are allowed")
        data = bytearray()
        while len(data) <= limit and (piece := os.read(file, min(1 << 20, limit + 1 - len(data)))):
            data += piece
    finally:
        os.close(file)
    if len(data) > limit:
        raise StudentFault("bad_output", f"{name} has more than the {limit} bytes that are allowed")
    return bytes(data)
