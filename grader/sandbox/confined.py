"""Levels A, B and C: the same launcher, watch and clean-up; they differ in what the job is kept in.

A  namespaces of its own (bubblewrap): other files, processes and networks do not exist for it.
B  Landlock: other files exist but do not open; signals and sockets are shut off.
C  a user of its own: other files open by their modes only, so what is hidden must have mode 700.

All have the system call filter. Where the grader is root, all run under a user that nobody else has: root without
capabilities still owns /proc/sys and would leave a namespace through it.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import platform
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from ..errors import GraderFault
from . import cgroup, landlock, namespaces, proc, seccomp, users, watch
from .base import Sandbox
from .job import Job, Limits, Outcome, variables

FOLDER = os.fspath(Path(__file__).resolve().parent)
START = f"import sys; sys.path.insert(0, {FOLDER!r}); import launcher; launcher.main(*map(int, sys.argv[1:]))"
GRACE = 20.0  # seconds in which a killed tree must be gone
TEMPORARY = ".sandbox-tmp"  # in the work folder, at levels without a /tmp of their own
OVERHEAD = {"A": 3, "B": 0, "C": 0}  # processes of bubblewrap
FAMILIES = {"A": (seccomp.AF_UNIX,), "B": (), "C": ()}  # only A has sockets of its own, which lead nowhere


def memory_file(data: bytes) -> int:
    """A file descriptor from which `data` can be read once."""
    fd = os.memfd_create("neuralization")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def tasks_of(user: int) -> int:
    """Processes and threads that a user has now: RLIMIT_NPROC counts these too."""
    total = 0
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user and (fields := proc.stat(int(name))):
                total += int(fields[17])
    return total


def rlimits(limits: Limits, tasks: int) -> list[tuple[int, int]]:
    """Limits that the kernel keeps for each process."""
    return [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, int(limits.cpu) + 1),
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_NOFILE, 1024),
        (resource.RLIMIT_NPROC, tasks),
        (resource.RLIMIT_MEMLOCK, 1 << 20),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]


class Confined(Sandbox):
    """A level that still has to prove itself: `open_sandbox` gives out only those that have.

    Args:
        name: A, B or C.
        slot: where the search for a free user id begins.
        filtered: without the system call filter the probes must fail; only tests leave it out.
    """

    def __init__(self, name: str, slot: int = 0, filtered: bool = True):
        self.name, self.slot, self.filtered = name, slot, filtered
        self.probes: list[dict] = []

    def missing(self) -> str:
        """What this machine lacks for the level, with the remedy; empty if a try is worth it."""
        if not sys.platform.startswith("linux"):
            return f"{platform.system()} has no sandbox that the grader knows; use Linux"
        if not seccomp.supported(platform.machine()):
            return f"no table of system calls for {platform.machine()}; there are {', '.join(seccomp.ARCHITECTURES)}"
        if self.name == "A" and namespaces.bubblewrap()[0] is None:
            return namespaces.bubblewrap()[1]
        if self.name == "B" and not landlock.version():
            return "the kernel has no Landlock (5.13 or newer, and `landlock` in the boot option lsm=)"
        if self.name == "C" and os.geteuid() != 0:
            return "a user of its own for each job needs root: run the grader as root"
        return ""

    def hide(self, *paths: Path) -> None:
        if self.name == "C":
            for path in paths:
                if os.path.lexists(path):
                    users.hide(path)

    def run(self, job: Job) -> Outcome:
        with contextlib.ExitStack() as stack:
            outcome = self._run(job, stack)
        if self.name == "A" and outcome.exit_code == 1 and outcome.log.startswith("bwrap: "):
            self._check_bubblewrap(job, outcome.log)
        return outcome

    def _run(self, job: Job, stack: contextlib.ExitStack) -> Outcome:
        work = os.path.abspath(job.work)
        if os.path.islink(work) or not os.path.isdir(work):
            raise GraderFault("grader_error", f"the work folder {work} is no folder")
        for path in job.readable:
            if not os.path.exists(path):
                raise GraderFault("grader_error", f"there is no {path}, which the job is to read")
        user = stack.enter_context(users.lease(self.slot)) if os.geteuid() == 0 else None
        stack.callback(users.take, work, user)
        temporary = "/tmp"
        if self.name != "A":
            temporary = os.path.join(work, TEMPORARY)
            users.fresh_folder(temporary)
            stack.callback(users.remove, temporary)
        if user is not None:
            users.give(work, user)
        group = cgroup.Group(job.limits)
        stack.callback(group.remove)

        log = watch.Log(job.limits.output)
        start = time.monotonic()
        process, status, reader = self._start(job, user, group, temporary, log)
        ended = watch.when_ended(process)
        roots = [(work, None)]
        try:
            seen = watch.watch(
                process,
                ended,
                job.limits,
                log,
                lambda: roots + [(path, user) for path in users.left_by(user)] if user and self.name == "C" else roots,
                overhead=OVERHEAD[self.name],
                killed_by_kernel=group.out_of_memory,
            )
        finally:
            report = self._end(process, ended, status)
        size, files = watch.disk_use(roots, job.limits.disk)
        wall = time.monotonic() - start
        reader.join(timeout=GRACE)
        if seen.interrupted:
            raise GraderFault("grader_error", "the run was interrupted")
        if seen.stopped is None and (size > job.limits.disk or files > watch.FILES):
            seen.stopped, seen.why = "output_limit", "its files took more room, or were more, than it may have"
        outcome = self._judge(job, seen, report, group, wall, log)
        if outcome.verdict == "crash" and size >= job.limits.disk:  # the kernel did not let it write more
            mark = f"\n[stopped: its files took {job.limits.disk >> 20} MiB, all that they may]\n"
            return replace(outcome, verdict="output_limit", log=outcome.log + mark)
        return outcome

    def _start(self, job: Job, user: int | None, group: cgroup.Group, temporary: str, log: watch.Log):
        """The running launcher, the reading end of its status pipe, and the thread that reads the job's output."""
        with contextlib.ExitStack() as opened:

            def keep(fd: int) -> int:
                opened.callback(os.close, fd)
                return fd

            status, status_in = os.pipe()
            keep(status_in)
            mute = self.name == "B" and user is None
            code = seccomp.program(platform.machine(), FAMILIES[self.name], mute) if self.filtered else b""
            command, passed = list(job.command), [status_in]
            if self.name == "A":
                allow_all = (seccomp.RETURN, 0, 0, seccomp.ALLOW)
                filter_fd = keep(memory_file(code or seccomp.pack([allow_all])))
                passed.append(filter_fd)
                command = namespaces.command(job, filter_fd, status_in, min(job.limits.disk, job.limits.memory))
            tasks = job.limits.processes + OVERHEAD[self.name] + (tasks_of(os.geteuid()) if user is None else 0)
            readable = namespaces.readable_paths(job.readable)
            spec = {
                "grader": os.getpid(),
                "command": command,
                "environment": variables(job, temporary),
                "folder": "/" if self.name == "A" else os.path.abspath(job.work),
                "rlimits": rlimits(job.limits, tasks),
                "user": user,
                "paths": [os.path.abspath(job.work), *map(os.path.abspath, job.readable), *namespaces.interpreter()],
                "landlock": [readable, [os.path.abspath(job.work), "/dev/null"]] if self.name == "B" else None,
                "filter": code if self.name != "A" else b"",
                "keep": passed if self.name == "A" else [],
            }
            spec_fd, spec_in = os.pipe()
            keep(spec_fd)
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", START, str(spec_fd), str(status_in)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                pass_fds=[*passed, spec_fd],
                start_new_session=True,
            )
        group.add(process.pid)  # while its interpreter starts
        with contextlib.suppress(BrokenPipeError), open(spec_in, "wb") as file:  # the launcher's end tells why
            marshal.dump(spec, file)
        return process, status, watch.start_reader(process.stdout, log)

    @staticmethod
    def _end(process: subprocess.Popen, ended: threading.Event, status: int) -> dict:
        """Have the tree killed, wait until it is gone, and return what the launcher says about its end."""
        with os.fdopen(status) as file:
            process.terminate()
            if not ended.wait(GRACE):
                process.kill()
                raise GraderFault("grader_error", f"processes of a job could not be ended in {GRACE:g} seconds")
            report: dict = {}
            for line in file.read().splitlines():
                report.update(json.loads(line))
        return report

    def _judge(
        self, job: Job, seen: watch.Watched, report: dict, group: cgroup.Group, wall: float, log: watch.Log
    ) -> Outcome:
        if "fault" in report:
            raise GraderFault("sandbox_unavailable", f"level {self.name}: {report['fault']}")
        text = log.text()
        if "cpu" not in report:
            raise GraderFault("sandbox_unavailable", f"level {self.name}: the launcher failed: {text.strip()[-500:]}")
        code = report.get("exit-code", report.get("exit")) if self.name == "A" else report.get("exit")
        number = report.get("signal")
        if code is not None and 128 < code < 128 + signal.NSIG and self.name == "A":
            code, number = None, code - 128  # bubblewrap reports signals as a shell does
        cpu, peak = max(seen.cpu, report["cpu"]), max(seen.memory, report["peak"])
        verdict, why = seen.stopped, seen.why
        if verdict is None:
            limits = job.limits
            if number == signal.SIGXCPU or cpu > limits.cpu or wall > limits.wall:
                verdict, why = (
                    "timeout",
                    f"it ran longer than {limits.wall:g} or computed longer than {limits.cpu:g} seconds",
                )
            elif group.out_of_memory() or peak > limits.memory:
                verdict, why = "memory", f"it used more than {limits.memory >> 20} MiB of memory"
            else:
                verdict = "ok" if code == 0 else "crash"
        if why:
            text += f"\n[stopped: {why}]\n"
        return Outcome(verdict, code, number, wall, cpu, peak, text)

    def _check_bubblewrap(self, job: Job, text: str) -> None:
        """Tell a bubblewrap that failed from a job that prints as if: an empty program must start in its place."""
        empty = (sys.executable, "-I", "-S", "-c", "print('started')")
        if list(job.command) == list(empty):
            raise GraderFault("sandbox_unavailable", f"level A: {text.strip()[-500:]}")
        small = Limits(
            wall=20, cpu=20, memory=job.limits.memory, processes=job.limits.processes, output=4096, disk=job.limits.disk
        )
        self.run(Job(empty, job.work, small, job.readable))
