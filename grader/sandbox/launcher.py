"""Start one job and end its whole process tree: the only program between the grader and what it does not trust.

Started as `launcher.main(SPEC, STATUS)` in a Python without site packages, with two inherited file descriptors: from
SPEC comes the job (marshalled, when the grader has put this process into its cgroup, which takes the kernel a while),
to STATUS go lines of JSON about its end. The process forks once. The child
gives up everything (limits, mounts, user, files, system calls) and becomes the job or, at level A, bubblewrap.
The parent adopts the job's orphans and, when the job has ended, when it is told to by SIGTERM, or when the grader has
died, kills until nothing is left.

It is started anew for each job, and its start is what a sandbox costs, hence `_signal` and marshal where one would
write signal and json: those two import for longer than all the rest takes.
"""

import _signal as signal
import marshal
import os
import resource
import time
from ctypes import CDLL, c_ulong, get_errno

import landlock
import proc
import seccomp

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18
QUOTED = {ord('"'): "'", ord("\\"): "/", **dict.fromkeys(range(32), " ")}


class Ended(Exception):
    """The grader wants the job to end."""


def libc_call(name: str, *arguments) -> None:
    libc = CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(get_errno(), f"{name}: {os.strerror(get_errno())}")


def prctl(option: int, value: int) -> None:
    libc_call("prctl", option, *map(c_ulong, (value, 0, 0, 0)))


def tell(status: int, name: str, value: "int | float | str") -> None:
    """One fact about the end of the job, as a line of JSON."""
    text = str(value) if not isinstance(value, str) else '"' + value.translate(QUOTED) + '"'
    os.write(status, f'{{"{name}": {text}}}\n'.encode("ascii", "replace"))


def closed_parent(path: str) -> "str | None":
    """The topmost folder above `path` that other users may not pass, or None."""
    parts = path.split("/")
    for end in range(1, len(parts)):
        parent = "/".join(parts[:end]) or "/"
        if not os.stat(parent).st_mode & 0o001:
            return parent
    return None


def uncover(paths: "list[str]") -> None:
    """Make folders reachable whose parents are closed to the job's user, as an interpreter in /root is.

    In a mount namespace of its own, a closed parent is covered by an empty folder in which only the job's paths are
    bound. Needs root with mounts; Docker's default has none, and then the paths must be open by themselves.
    """
    closed = {}
    for path in sorted(set(map(os.path.realpath, paths)), key=lambda path: path.count("/")):
        if parent := closed_parent(path):
            closed.setdefault(parent, []).append(path)
    if not closed:
        return
    try:
        libc_call("unshare", CLONE_NEWNS)
        libc_call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    except OSError:
        raise OSError(
            f"the job's user cannot reach {' or '.join(sorted(closed))}; chmod o+x would let it pass"
        ) from None
    opened = {path: os.open(path, os.O_PATH) for inside in closed.values() for path in inside}  # in this namespace
    for parent, inside in closed.items():
        libc_call("mount", b"none", parent.encode(), b"tmpfs", 0, b"mode=711,size=64k")
        for path in inside:
            fd = opened[path]
            folder = os.path.isdir(f"/proc/self/fd/{fd}")
            os.makedirs(path if folder else os.path.dirname(path), exist_ok=True)
            if not folder and not os.path.exists(path):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
            libc_call("mount", f"/proc/self/fd/{fd}".encode(), path.encode(), None, MS_BIND | MS_REC, None)
            os.close(fd)


def survive_shortage(score: int) -> None:
    """How willingly the kernel kills this process for want of memory (-1000: not at all); needs root."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError:
        pass


def become(spec: dict) -> None:
    """In the child: give up rights in the order that lets the next step still be done, then turn into the job."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setsid()
    os.umask(0o022)
    for fd in os.listdir("/proc/self/fd"):
        if int(fd) > 2:
            try:
                os.set_inheritable(int(fd), int(fd) in spec["keep"])
            except OSError:
                pass  # the listing's own
    survive_shortage(0)
    if spec["user"] is not None:
        uncover(spec["paths"])
    for kind, value in spec["rlimits"]:
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, min(value + 1, hard) if kind == resource.RLIMIT_CPU and hard > 0 else value))
    if spec["user"] is not None:
        os.setgroups([])
        os.setresgid(*[spec["user"]] * 3)
        os.setresuid(*[spec["user"]] * 3)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
    os.chdir(spec["folder"])
    if spec["landlock"]:
        landlock.restrict(*spec["landlock"])
    if spec["filter"]:
        seccomp.install(spec["filter"])
    os.execve(spec["command"][0], spec["command"], spec["environment"])


def kill_all(user: "int | None") -> None:
    """Kill every descendant until there is none to wait for: orphans come to this process, so none is missed.

    With a user of its own the job is killed in one stroke, which no fork can outrun; else one by one, again and again.
    """
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if user is None:
            for pid in proc.tree(os.getpid()):
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
        elif not os.fork():
            os.setresuid(user, user, user)
            try:
                os.kill(-1, signal.SIGKILL)
            finally:
                os._exit(0)
        time.sleep(0.001)


def main(spec_fd: int, status: int) -> None:
    with open(spec_fd, "rb") as file:
        spec = marshal.load(file)
    os.set_inheritable(status, False)

    def end(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Ended

    signal.signal(signal.SIGTERM, end)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != spec["grader"]:
        return  # it died before it could be watched
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    survive_shortage(-1000)
    try:
        child = os.fork()
        if not child:
            try:
                become(spec)
            except BaseException as problem:
                tell(status, "fault", str(problem))
            finally:
                os._exit(127)
        pid = 0
        while pid != child:
            pid, result = os.waitpid(-1, 0)
        if os.WIFSIGNALED(result):
            tell(status, "signal", os.WTERMSIG(result))
        else:
            tell(status, "exit", os.WEXITSTATUS(result))
    except Ended:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kill_all(spec["user"])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    tell(status, "peak", used.ru_maxrss * 1024)
    tell(status, "cpu", used.ru_utime + used.ru_stime)
