"""Attack the sandbox and the grader of this machine, and say what held.

    python -m grader attacks                        the strictest level that proves itself here
    python -m grader attacks --level all            every level; fails where none is to be had
    python -m grader attacks --only 16 37           some attacks

One attack a file, a0NN_name.py: a small hostile submission, or a scenario, with the verdict it must get. `held`: the
score is that of the honest part of the work, nothing hidden was seen, nothing lived on. Some cannot be shown on one
machine; they are counted as not run, with the reason. Exit status: 0 all held, 1 one did not, 3 no sandbox.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

from grader.attacks.case import Broken, Case, NotRun, course
from grader.errors import GraderFault, UsageError
from grader.results import write_whole
from grader.sandbox import LEVELS, Sandbox, open_sandbox, stop_all

JOBS = 2  # attacks at one time: most of them wait
SLOW = (65, 66)  # minutes: they build the hand-out and train the reference


def load() -> dict[int, ModuleType]:
    """Every attack by its number."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if module.name[1:4].isdigit()]
    return {int(name[1:4]): imported(f"{__name__}.{name}") for name in sorted(names)}


def imported(name: str) -> ModuleType:
    """A module; one that cannot be imported stands for an attack that was not held."""
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        why = f"{name.rpartition('.')[2]} cannot be imported: {problem}"

        def attack(case: Case) -> tuple[str, str]:
            raise Broken(why)

        module = ModuleType(name, why)
        module.VERDICT, module.attack = (), attack
        return module


def title(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2][5:]


def attack(case: Case, number: int, module: ModuleType) -> dict[str, Any]:
    """One row of the table. A module has VERDICT, those that it may get, and `attack(case) -> (verdict, why)`."""
    row: dict[str, Any] = {"id": number, "name": title(module), "status": "held", "verdict": None, "why": ""}
    try:
        row["verdict"], row["why"] = module.attack(case)
        if row["verdict"] not in module.VERDICT:
            raise Broken(f"the verdict is {row['verdict']}, not {' or '.join(module.VERDICT)}: {row['why']}")
    except NotRun as reason:
        row.update(status="not_run", why=str(reason))
    except (Broken, GraderFault) as reason:
        row.update(status="broken", why=str(reason))
    except Exception:  # an attack that could not be judged has not been held
        row.update(status="broken", why=" ".join(traceback.format_exc(limit=-2).split()))
    return row


def run_level(
    sandbox: Sandbox, numbers: Iterable[int], done: dict[int, dict], tell: Callable[[dict], None]
) -> dict[str, Any]:
    """Every attack on one sandbox.

    Args:
        done: rows of attacks that do not meet the sandbox (ONCE), from another level; filled in.
    """
    modules, rows = load(), []

    def row_of(number: int) -> dict[str, Any]:
        row = done.get(number) or attack(case, number, modules[number])
        if getattr(modules[number], "ONCE", False):
            done[number] = row
        return row

    with course() as assignment, ThreadPoolExecutor(JOBS) as pool:
        case = Case(sandbox, assignment)
        try:
            for row in pool.map(row_of, numbers):
                rows.append(row)
                tell(row)
        except KeyboardInterrupt:
            stop_all()
            pool.shutdown(cancel_futures=True)
            raise
    return {"level": sandbox.name, "probes": sandbox.probes, "attacks": rows}


def count(table: dict[str, Any]) -> str:
    """How many held, did not, and were not run."""
    found = [row["status"] for row in table["attacks"]]
    return (
        f"level {table['level']}: {found.count('held')} attacks held, {found.count('broken')} broken, "
        f"{found.count('not_run')} not run"
    )


def tell(row: dict[str, Any]) -> None:
    print(f"{row['id']:3d} {row['name']:24} {row['status']:8} {row['verdict'] or '':13} {row['why'][:160]}", flush=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--level", choices=("auto", *LEVELS, "all"), default="auto", metavar="LEVEL",
                        help="A, B, C, all, or auto: the strictest that proves itself here (auto)")  # fmt: skip
    parser.add_argument("--only", nargs="+", type=int, metavar="N", help="these attacks")
    parser.add_argument(
        "--fast", action="store_true", help="without those that take minutes: the hand-out, the controls"
    )
    parser.add_argument("--json", metavar="FILE", help="write the table here")


def chosen(only: Sequence[int] | None, fast: bool) -> list[int]:
    there = sorted(load())
    unknown = sorted(set(only or ()) - set(there))
    if unknown:
        raise UsageError(f"there is no attack {unknown[0]}; there are {there[0]} to {there[-1]}")
    return [number for number in there if (number in only if only else not (fast and number in SLOW))]


def run(args: argparse.Namespace) -> int:
    numbers = chosen(args.only, args.fast)
    tables, refused = [], []
    done: dict[int, dict] = {}
    for level in LEVELS if args.level == "all" else [args.level]:
        try:
            sandbox = open_sandbox(level, floor="C" if level == "auto" else None)
        except GraderFault as fault:
            refused.append(fault.message)
            print(f"level {level} is not to be had here: {fault.message}", file=sys.stderr)
            continue
        start = time.monotonic()
        print(f"level {sandbox.name}: {len(sandbox.probes)} probes closed")
        tables.append(run_level(sandbox, numbers, done, tell))
        print(f"{count(tables[-1])}, in {time.monotonic() - start:.0f} s", flush=True)
    if not tables:
        raise GraderFault("sandbox_unavailable", "no attack was run. " + " ".join(refused))
    if args.json:
        table = tables[0] if args.level != "all" else {"level": "all", "levels": tables, "refused": refused}
        write_whole(Path(args.json), json.dumps(table, indent=1, allow_nan=False) + "\n")
    return int(any(row["status"] == "broken" for table in tables for row in table["attacks"]))
