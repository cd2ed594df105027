"""Landlock: a process gives up all files but those it names (Linux 5.13 and newer, no rights needed)."""

import ctypes
import errno
import os

CREATE, ADD_RULE, RESTRICT = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_DEVICES = 1 << 6 | 1 << 11  # character and block devices
TRUNCATE, DEVICE_CONTROL = 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_CONTROL


def _call(number: int, *arguments) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {errno.errorcode.get(number, number)}")
    return result


def version() -> int:
    """The kernel's Landlock ABI; 0 where there is none."""
    try:
        return _call(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except OSError:
        return 0


def _rights(abi: int) -> int:
    """All file rights that this ABI knows: what is not handled stays open."""
    return (1 << (16 if abi >= 5 else 15 if abi >= 3 else 14 if abi >= 2 else 13)) - 1


def restrict(readable: "list[str]", writable: "list[str]") -> None:
    """Give up every file but those below `readable` and `writable`.

    Where the kernel can, also TCP (ABI 4) and signals and abstract sockets to processes outside (ABI 6).
    """
    abi = version()
    if not abi:
        raise OSError(errno.ENOSYS, "Landlock: this kernel has none")
    everything = _rights(abi)
    network = 3 if abi >= 4 else 0
    scoped = 3 if abi >= 6 else 0
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    attributes = (ctypes.c_uint64 * 3)(everything, network, scoped)
    ruleset = _call(CREATE, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint(0))

    class Beneath(ctypes.Structure):
        _pack_ = 1
        _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]

    for paths, rights in ((readable, READ), (writable, everything & ~MAKE_DEVICES)):
        for path in paths:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            if not os.path.isdir(path):
                rights_here = rights & everything & OF_FILES
            else:
                rights_here = rights & everything
            rule = Beneath(rights_here, fd)
            _call(ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), ctypes.byref(rule), ctypes.c_uint(0))
            os.close(fd)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    _call(RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)
