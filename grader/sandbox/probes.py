"""Prove a sandbox by attacking it: set out what an attack wants, run `probe_inside.py` in it, look at what is left.

What is looked at from outside (files made, a process that lives on) counts whatever the inside says.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..errors import GraderFault
from . import users
from .base import Sandbox
from .confined import FAMILIES
from .job import Job, Limits, variables

INSIDE = Path(__file__).with_name("probe_inside.py")
ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(wall=30, cpu=20, memory=1 << 29, processes=32, output=1 << 17, disk=1 << 24)
SKIP = {  # what a level leaves open and says so
    "A": {"grader_memory", "kill_grader"},  # other processes do not exist there: grader_command looks for them
    "B": {"name_hidden"},  # Landlock hides no names
    "C": {"grader_command"},  # so nothing secret is ever in a command line
}
SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")


def hidden_places() -> list[Path]:
    """What no submission may read on this machine: gold tags, hidden tests, the reference, e-mails."""
    secret = os.environ.get("NEURALIZATION_SECRET") or "~/.config/neuralization"
    places = [ROOT / name for name in ("grader", "code", "tests", "writeup", ".git")]
    places += [ROOT / "grader" / "data", Path(secret).expanduser()]
    places += [Path("/autograder", name) for name in ("submission_metadata.json", "results", "source/grader")]
    return [place for place in places if place.exists()]


def alive(token: str) -> list[int]:
    """Processes that have `token` in their command line, apart from this one."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if token.encode() in Path("/proc", name, "cmdline").read_bytes() and int(name) != os.getpid():
                found.append(int(name))
        except OSError:
            pass
    return found


@contextmanager
def listeners(folder: Path, name: str) -> Iterator[dict]:
    """A TCP, an abstract and a named socket of the grader's side that wait for a connection."""
    with ExitStack() as stack:
        made = {}
        for kind, family, address in (
            ("tcp", socket.AF_INET, ("127.0.0.1", 0)),
            ("abstract", socket.AF_UNIX, "\0" + name),
            ("unix", socket.AF_UNIX, os.fspath(folder / "socket")),
        ):
            listener = stack.enter_context(socket.socket(family))
            listener.bind(address)
            listener.listen(8)
            made[kind] = listener.getsockname() if kind == "tcp" else address.lstrip("\0")
        yield made


def outside_places(hidden: Path, token: str) -> list[Path]:
    """Where a job might try to write: none of these files may be there afterwards."""
    folders = [hidden, hidden.parent, ROOT, ROOT / "grader", Path.home(), Path(sys.prefix), Path(sys.base_prefix)]
    folders += [Path("/"), Path("/etc"), Path("/usr/lib"), Path("/usr/local/bin")]
    return [folder / f"{token}.written" for folder in dict.fromkeys(folders)]


def probe(sandbox: Sandbox) -> list[dict]:
    """Run every probe of this level: [{"name", "closed", "detail"}].

    Raises:
        GraderFault: the sandbox does not start, or the probes did not come to their end in it.
    """
    token = f"neuralization-{secrets.token_hex(8)}"
    folder = Path(tempfile.mkdtemp(prefix="neuralization-probe-"))
    outside: list[Path] = []
    try:
        folder.chmod(0o711)
        hidden, work = folder / "hidden", folder / "work"
        hidden.mkdir(mode=0o700)
        work.mkdir(mode=0o755)
        (hidden / "gold").write_text("the/D gold/N\n")
        (hidden / "changeable").write_text("keep")
        (hidden / "changeable").chmod(0o666)
        (work / INSIDE.name).write_bytes(INSIDE.read_bytes())
        sandbox.hide(hidden, *hidden_places())
        outside = outside_places(hidden, token)
        scratch = [f"{place}/{token}.left" for place in SCRATCH]
        with listeners(folder, token) as addresses:
            order = {
                **addresses,
                "grader": os.getpid(),
                "hidden": [str(hidden / "gold"), str(hidden / "changeable")],
                "gold": list(map(str, hidden_places())),
                "outside": list(map(str, outside)),
                "changeable": [str(hidden / "changeable")],
                "scratch": scratch,
                "token": token,
                "families": list(map(int, FAMILIES[sandbox.name])),
                "other_processes": sandbox.name != "A",
                "own_user": os.geteuid() == 0 and sandbox.name != "A",
                "skip": sorted(SKIP[sandbox.name]),
            }
            job = Job([sys.executable, "-I", "-S", INSIDE.name], work, LIMITS)
            order["variables"] = sorted(variables(job, ""))
            outcome = sandbox.run(Job([*job.command, json.dumps(order)], work, LIMITS))
        try:
            table = json.loads(outcome.log.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise GraderFault(
                "sandbox_unavailable",
                f"level {sandbox.name}: the probes did not end ({outcome.verdict}): {outcome.log.strip()[-500:]}",
            ) from None

        def found(name: str, broken: list) -> None:
            if broken:
                table[name] = {"closed": False, "detail": "done: " + " ".join(map(str, broken))}

        table["write_outside"]["closed"] = True  # what was written within A's own /tmp is nowhere else
        found("write_outside", [path for path in outside if path.exists()])
        found("leave_behind", [path for path in scratch if os.path.lexists(path)])
        found("survive", alive(token))
        changed = not (hidden / "changeable").exists() or (hidden / "changeable").read_text() != "keep"
        found("change_outside", [hidden / "changeable"] if changed else [])
    finally:
        for path in outside:
            path.unlink(missing_ok=True)
        users.remove(os.fspath(folder))
    return [{"name": name, **result} for name, result in table.items()]
