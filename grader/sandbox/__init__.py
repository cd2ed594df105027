"""Run what is not trusted: one job in, one outcome out, and nothing of it left alive.

    sandbox = open_sandbox("auto")
    with sandbox.scratch() as folder:
        work = folder / "code"; work.mkdir()
        outcome = sandbox.run(Job([sys.executable, "main.py"], work, Limits(60, 60, 1 << 30, 64, 1 << 16, 1 << 28)))
        answer = read_output(work, "answer.txt", 1 << 20)

A level is given out only after attack probes inside it have all failed (`probes`); what a tool says of itself, or its
exit status, proves nothing.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ..errors import GraderFault, UsageError
from .bare import Bare
from .base import Sandbox, stop_all
from .job import Job, Limits, Outcome
from .output import read_output

__all__ = ["Job", "Limits", "Outcome", "Sandbox", "in_container", "open_sandbox", "read_output", "stop_all"]

LEVELS = ("A", "B", "C")  # from the strictest on
HELP = {
    "A": "allow user namespaces to bubblewrap: an AppArmor profile on Ubuntu 23.10 and newer, "
    "`--security-opt seccomp=unconfined` in Docker",
    "B": "a kernel with Landlock (5.13; 6.12 where the grader is not root)",
    "C": "run the grader as root, and keep what is hidden at mode 700",
}
_proven: dict[str, list[dict] | str] = {}
_lock = threading.Lock()


def in_container() -> bool:
    """Whether this machine is a container, where the weakest level (C) may be all that there is."""
    marks = ("/.dockerenv", "/run/.containerenv", "/autograder/run_autograder")
    if any(os.path.exists(mark) for mark in marks) or "container" in os.environ:
        return True
    try:
        groups = Path("/proc/1/cgroup").read_text()
    except OSError:
        return False
    return any(word in groups for word in ("docker", "kubepods", "containerd", "lxc"))


def prove(sandbox: Sandbox) -> list[dict] | str:
    """The probes of this level, tried once a process, or why it is not to be had."""
    from .probes import probe

    with _lock:
        if sandbox.name not in _proven:
            if reason := sandbox.missing():
                _proven[sandbox.name] = reason
            else:
                try:
                    table = probe(sandbox)
                    failed = [f"{row['name']} ({row['detail']})" for row in table if not row["closed"]]
                    _proven[sandbox.name] = "these attacks succeed: " + ", ".join(failed) if failed else table
                except GraderFault as fault:
                    _proven[sandbox.name] = f"{fault.message}; {HELP[sandbox.name]}"
        return _proven[sandbox.name]


def open_sandbox(level: str = "auto", floor: str | None = None, slot: int = 0, trust: bool = False) -> Sandbox:
    """A sandbox of the strictest level that proves itself here.

    Args:
        level: A, B, C, none, or auto: the strictest of A, B, C that is not below `floor`.
        floor: for auto; default C in a container and B elsewhere.
        slot: which user ids to try first, where the grader is root.
        trust: the user has said `--i-trust-this-code`; only then is there a level none.

    Raises:
        GraderFault: sandbox_unavailable, with the reason and the remedy for each level that was tried.
    """
    if level == "none":
        if not trust:
            raise UsageError("no sandbox runs the code with all your rights: that needs --i-trust-this-code")
        return Bare()
    if level not in ("auto", *LEVELS):
        raise UsageError(f"there is no sandbox level {level!r}; there are auto, {', '.join(LEVELS)}, none")
    floor = floor or ("C" if in_container() else "B")
    if floor not in LEVELS:
        raise UsageError(f"there is no sandbox level {floor!r} to be the floor; there are {', '.join(LEVELS)}")
    from .confined import Confined

    reasons = []
    for name in LEVELS[: LEVELS.index(floor) + 1] if level == "auto" else [level]:
        sandbox = Confined(name, slot)
        found = prove(sandbox)
        if isinstance(found, list):
            sandbox.probes = found
            return sandbox
        reasons.append(f"level {name}: {found}")
    if level == "auto" and floor != "C":
        reasons.append(f"weaker levels are below the floor {floor}")
    raise GraderFault("sandbox_unavailable", "no sandbox, so nothing was run. " + ". ".join(reasons))
