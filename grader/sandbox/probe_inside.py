"""Attacks on a sandbox from inside, as harmless as attacks can be: this file is run in it, never imported.

`python probe_inside.py ORDER`: ORDER is JSON that names what to attack; one JSON object is printed: for each attack
whether it was held (`closed`) and what happened. It trusts no error: what counts is whether the deed could be done.
"""

import ctypes
import errno
import json
import os
import platform
import resource
import signal
import socket
import stat
import subprocess
import sys

CALLS = {  # name: (x86-64, aarch64, arguments)
    "ptrace": (101, 117, (16, 0x7FFFFFF0, 0, 0)),
    "unshare": (272, 97, (0x10000000,)), "unshare mounts": (272, 97, (0x20000,)),
    "mount": (165, 40, (b"none", b"/nowhere", b"tmpfs", 0, 0)), "bpf": (321, 280, (0, 0, 0)),
    "io_uring": (425, 425, (1, ctypes.create_string_buffer(256))), "keyctl": (250, 219, (0, -3, 1)),
    "add_key": (248, 217, (b"user", b"x", b"y", 1, -3)), "perf_event_open": (298, 241, (0, 0, -1, -1, 0)),
    "userfaultfd": (323, 282, (1,)), "shmget": (29, 194, (0, 4096, 0o1600)), "msgget": (68, 186, (0, 0o1600)),
    "semget": (64, 190, (0, 1, 0o1600)), "setns": (308, 268, (0, 0)),
    "process_vm_readv": (310, 270, (1, 0, 0, 0, 0, 0)),
    "open_by_handle_at": (304, 265, (-100, 0, 0)), "clone namespace": (56, 220, (0x10000011, 0, 0, 0, 0)),
}  # fmt: skip
REFUSALS = (errno.EPERM, errno.ENOSYS)
libc = ctypes.CDLL(None, use_errno=True)


def opens(path, flags=os.O_RDONLY):
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK))
    except OSError as problem:
        return errno.errorcode.get(problem.errno, str(problem.errno))
    return None


def refused(paths, act):
    """(closed, detail) of an act on several paths: `act` returns an error's name, or None where it could be done."""
    results = {path: act(path) for path in paths}
    done = [path for path, problem in results.items() if problem is None]
    return not done, "done: " + " ".join(done) if done else " ".join(sorted(set(results.values()))) or "nothing to try"


def read_hidden(order):
    return refused(order["hidden"], opens)


def name_hidden(order):
    def look(path):
        try:
            os.lstat(path)
        except OSError as problem:
            return errno.errorcode[problem.errno]

    return refused(order["hidden"], look)


def read_gold(order):
    def look(path):
        try:
            names = os.listdir(path) if os.path.isdir(path) else None
        except OSError as problem:
            return errno.errorcode[problem.errno]
        if names is None:
            return opens(path)
        return None if names and any(opens(os.path.join(path, name)) is None for name in names) else "EACCES"

    return refused(order["gold"], look)


def write_outside(order):
    return refused(order["outside"], lambda path: opens(path, os.O_WRONLY | os.O_CREAT))


def change_outside(order):
    def change(path):
        for act in (lambda: os.truncate(path, 0), lambda: os.unlink(path), lambda: os.rename(path, path + ".away")):
            try:
                act()
                return None
            except OSError as problem:
                result = errno.errorcode[problem.errno]
        return result

    return refused(order["changeable"], change)


def write_kernel(order):
    paths = ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger"]
    return refused([*paths, "/sys/kernel/uevent_helper", "/dev/mem"], lambda path: opens(path, os.O_WRONLY))


def grader_command(order):
    if not order["other_processes"]:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
        return len(processes) < 10, f"{len(processes)} processes are seen, all of this run"
    problem = opens(f"/proc/{order['grader']}/cmdline")
    return problem is not None, problem or "it can be read"


def grader_memory(order):
    return refused([f"/proc/{order['grader']}/{name}" for name in ("environ", "mem", "maps", "fd/0")], opens)


def kill_grader(order):
    for target in (order["grader"], os.getppid()):
        for number in (0, signal.SIGWINCH):
            try:
                os.kill(target, number)
                return False, f"signal {number} was delivered"
            except OSError as problem:
                detail = errno.errorcode[problem.errno]
        try:
            resource.prlimit(target, resource.RLIMIT_CORE, (0, 0))
            return False, "its limits were changed"
        except OSError:
            pass
    return True, detail


def leave_behind(order):
    left = refused(order["scratch"], lambda path: opens(path, os.O_WRONLY | os.O_CREAT))[1]
    return True, left + "; see whether it is there afterwards"


def survive(order):
    """Leave a process behind that has left the session and the group; whether it lives is looked at from outside."""
    leave = "if os.fork(): os._exit(0)"
    code = f"import os, time\n{leave}\nos.setsid()\n{leave}\n'{order['token']}'\ntime.sleep(600)"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], stdin=subprocess.DEVNULL)
    return True, "left one; see whether it lives"


def socket_families(order):
    made = []
    for family in range(46):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
                made.append(family)
            except OSError:
                pass
    extra = sorted(set(made) - set(order["families"]))
    return not extra, f"families made: {sorted(set(made))}" if made else "46 families, none made"


def connections(order):
    targets = [
        (socket.AF_INET, tuple(order["tcp"])),
        (socket.AF_UNIX, "\0" + order["abstract"]),
        (socket.AF_UNIX, order["unix"]),
    ]
    reached = []
    for family, address in targets:
        try:
            with socket.socket(family) as made:
                made.settimeout(2)
                made.connect(address)
                reached.append(repr(address))
        except OSError:
            pass
    return not reached, " ".join(reached) or "TCP, abstract and named socket: not reached"


def system_calls(order):
    column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
    allowed = []
    for name, (*numbers, arguments) in CALLS.items():
        wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(numbers[column]), *wide)
        if result == 0 and name == "clone namespace":
            os._exit(0)  # the child
        if result >= 0 or ctypes.get_errno() not in REFUSALS:
            allowed.append(f"{name} {errno.errorcode.get(ctypes.get_errno(), result)}")
    return not allowed, " ".join(allowed) or f"{len(CALLS)} calls refused"


def foreign_calls(order):
    """x32's number of getpid: a filter that looks only at plain numbers lets it through."""
    if platform.machine() != "x86_64":
        return True, "there are none here"
    pid = os.fork()
    if not pid:
        libc.syscall(ctypes.c_long(0x40000000 | 39))
        os._exit(0)
    result = os.waitpid(pid, 0)[1]
    return os.WIFSIGNALED(result) and os.WTERMSIG(result) == signal.SIGSYS, f"status {result}"


def set_id(order):
    with open("set-id", "w"):
        pass
    try:
        os.chmod("set-id", 0o4755)
    except OSError as problem:
        return True, errno.errorcode[problem.errno]
    return not os.stat("set-id").st_mode & stat.S_ISUID, "chmod did nothing"


def rights(order):
    with_status = {}
    try:
        with open("/proc/self/status") as file:
            with_status = dict(line.split(":", 1) for line in file)
    except OSError:
        pass  # level B has no /proc/self
    powers = int(with_status.get("CapEff", "0"), 16)
    try:
        os.setuid(0)
        return os.getuid() != 0, "became root"
    except OSError:
        pass
    groups = [group for group in os.getgroups() if group not in (os.getgid(), 65534)] if order["own_user"] else []
    if order["own_user"] and 0 in os.getresuid():
        return False, "runs as root"
    return not powers and not groups, f"capabilities {powers:x}, groups {groups}"


def open_files(order):
    found = []
    for fd in range(3, 1024):
        try:
            os.fstat(fd)
            found.append(fd)
        except OSError:
            pass
    return not found, f"descriptors {found}" if found else "0, 1, 2"


def environment(order):
    strange = sorted(set(os.environ) - set(order["variables"]) - {"LC_CTYPE", "PWD"})
    return not strange, " ".join(strange) or "nothing of the grader's"


def standard_input(order):
    return not os.read(0, 1), "empty"


PROBES = [
    read_hidden, name_hidden, read_gold, write_outside, change_outside, write_kernel, grader_command, grader_memory,
    kill_grader, socket_families, connections, system_calls, foreign_calls, set_id, rights, open_files, environment,
    standard_input, leave_behind, survive,
]  # fmt: skip

if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    table = {}
    for probe in PROBES:
        if probe.__name__ in given["skip"]:
            continue
        try:
            closed, detail = probe(given)
        except Exception as problem:
            closed, detail = False, f"the probe failed: {type(problem).__name__}: {problem}"
        table[probe.__name__] = {"closed": bool(closed), "detail": detail}
    print(json.dumps(table))
