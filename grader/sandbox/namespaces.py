"""Level A: bubblewrap's command line. Every namespace is the job's own; of the disk it sees what it needs."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from .job import Job

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SETTINGS = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime")
PROCESSORS = "/sys/devices/system/cpu"
NEEDED = ("--disable-userns", "--size", "--json-status-fd", "--die-with-parent", "--perms")


@functools.cache
def bubblewrap() -> tuple[str | None, str]:
    """The program's path, or None and what to do about it."""
    path = shutil.which("bwrap")
    if path is None:
        return None, "bubblewrap is not installed (apt install bubblewrap, dnf install bubblewrap)"
    text = subprocess.run([path, "--help"], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
    missing = [option for option in NEEDED if option not in text]
    if missing:
        return None, f"{path} is too old: it has no {' '.join(missing)}; bubblewrap 0.8 or newer is needed"
    return path, ""


@functools.cache
def interpreter() -> tuple[str, ...]:
    """Folders and links outside the system's own that the running Python needs."""
    wanted = [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix]
    link = os.path.abspath(sys.executable)
    while True:
        wanted.append(link)
        if not os.path.islink(link):
            break
        link = os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    kept: list[str] = []
    for path in sorted(set(wanted), key=lambda path: path.count("/")):
        if not any(path == above or path.startswith(above + "/") for above in (*SYSTEM, *kept)):
            kept.append(path)
    return tuple(kept)


def command(job: Job, filter_fd: int, status_fd: int, temporary_size: int) -> list[str]:
    """bubblewrap's arguments for this job."""
    program, problem = bubblewrap()
    if program is None:
        raise FileNotFoundError(problem)
    arguments = [program, "--unshare-user", "--unshare-all", "--disable-userns", "--die-with-parent", "--new-session"]
    arguments += ["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
    for path in SYSTEM:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    for path in (*SETTINGS, PROCESSORS):
        arguments += ["--ro-bind-try", path, path]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/dev/shm", "/tmp"):
        arguments += ["--perms", "1777", "--size", str(temporary_size), "--tmpfs", path]
    arguments += ["--symlink", "../tmp", "/var/tmp", "--remount-ro", "/dev"]
    work = os.path.abspath(job.work)
    bound = [("--ro-bind", path) for path in (*interpreter(), *map(os.path.abspath, job.readable))] + [("--bind", work)]
    for option, path in sorted(bound, key=lambda item: item[1].count("/")):  # what lies inside another comes after it
        arguments += [option, os.path.realpath(path) if option == "--bind" else path, path]
    arguments += ["--remount-ro", "/", "--chdir", work]
    return [*arguments, "--json-status-fd", str(status_fd), "--seccomp", str(filter_fd), "--", *job.command]


def readable_paths(readable: Sequence[os.PathLike]) -> list[str]:
    """What a job may read where no namespace hides the rest (level B)."""
    devices = ["/dev/urandom", "/dev/random", "/dev/zero"]
    facts = ["/proc/cpuinfo", "/proc/meminfo", PROCESSORS]
    return [*SYSTEM, *SETTINGS, *devices, *facts, *interpreter(), *map(os.path.abspath, readable)]
