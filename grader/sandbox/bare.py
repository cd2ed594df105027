"""No sandbox: for a student's own check of their own code, and for staff who say `--i-trust-this-code`.

The only level that also runs on macOS and Windows, so it uses nothing that they lack: time and log are limited, memory
where there is a /proc, and of the processes those that stayed in the job's group are ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..errors import GraderFault
from . import watch
from .base import Sandbox
from .job import Job, Outcome, variables


def end(process: subprocess.Popen) -> None:
    """Kill the job's process group."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Bare(Sandbox):
    """See the module."""

    name = "none"

    def __init__(self):
        self.probes = []

    def remove(self, path: Path) -> None:
        if sys.platform.startswith("linux"):
            return super().remove(path)
        import shutil

        shutil.rmtree(path, ignore_errors=True)

    def run(self, job: Job) -> Outcome:
        environment = variables(job, tempfile.gettempdir())
        if os.name == "nt":
            environment = {
                **{k: os.environ[k] for k in ("SYSTEMROOT", "TEMP", "TMP") if k in os.environ},
                **environment,
            }
        log = watch.Log(job.limits.output)
        start = time.monotonic()
        process = subprocess.Popen(
            list(job.command),
            cwd=job.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=os.name != "nt",
        )
        reader = watch.start_reader(process.stdout, log)
        try:
            ended = watch.when_ended(process)
            roots = [(os.fspath(job.work), None)]
            seen = watch.watch(process, ended, job.limits, log, lambda: roots, include_root=True)
        finally:
            end(process)
        wall = time.monotonic() - start
        reader.join(timeout=1.0)
        if seen.interrupted:
            raise GraderFault("grader_error", "the run was interrupted")
        code = process.returncode
        verdict = seen.stopped or ("ok" if code == 0 else "crash")
        text = log.text() + (f"\n[stopped: {seen.why}]\n" if seen.stopped else "")
        return Outcome(
            verdict, code if code >= 0 else None, -code if code < 0 else None, wall, seen.cpu, seen.memory, text
        )
