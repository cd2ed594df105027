"""The unit stage: the graded functions one by one, called in the sandbox, their answers judged here.

One sandbox and one import of torch for all of them. A test gives all of its points or none.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from grader import expected
from grader.assignment import Stage, Test
from grader.cases import Case, plain
from grader.cases import wrong as wrong_answer
from grader.errors import StudentFault
from grader.results import parse_json, worst
from grader.stages.base import Grading, Run, Spent, cut, finish, keep_log, problem
from grader.stages.base import run as run_in_sandbox

WORKER = Path(__file__).resolve().parent.parent / "unit_worker.py"
LARGEST_ANSWER = 1 << 20
SHARE = 0.5  # of the stage's time, that one test may take
UNREACHED = {  # tests without an answer, by how the whole run ended
    "ok": "it ended its own process",
    "crash": "a test before it, or this one, ended the whole program",
    "timeout": "the time of all tests together was over before it",
}


def run_worker(grading: Grading, stage: Stage, cases: dict[str, list[Case]], spent: Spent) -> Run:
    """All calls in one sandbox."""
    folder = grading.scratch / "work" / "worker"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(WORKER, folder / WORKER.name)
    names = {test: f"answer-{test}.json" for test in cases}
    tests = [
        {"name": test, "answer": names[test], "cases": [plain(case.inputs) for case in of_test]}
        for test, of_test in cases.items()
    ]
    seconds = SHARE * min(stage.limits.wall, grading.profile.wall)
    (folder / "calls.json").write_text(json.dumps({"seconds": seconds, "tests": tests}, allow_nan=False))
    command = [sys.executable, "-I", str(folder / WORKER.name), str(folder / "calls.json")]
    found = run_in_sandbox(
        grading, stage, command, {}, dict.fromkeys(names.values(), LARGEST_ANSWER), readable=[folder]
    )
    spent.add(found.outcome)
    shutil.rmtree(folder)
    return found


def judge(found: Run, test: str, cases: list[Case]) -> StudentFault | None:
    """What is wrong with a test's answers, if anything."""
    data = found.files[f"answer-{test}.json"]
    if isinstance(data, StudentFault):
        if data.verdict != "missing_file":
            return data
        verdict = found.outcome.verdict
        return StudentFault("crash" if verdict == "ok" else verdict, UNREACHED.get(verdict, "it was not reached"))
    try:
        answer = parse_json(data, "the answer")
    except StudentFault as fault:
        return fault
    if not isinstance(answer, dict):
        return StudentFault("bad_output", "the answer is no object")
    if "late" in answer:
        return StudentFault("timeout", "it took too long")
    if "error" in answer:
        error = str(answer["error"])
        absent = error.startswith(("ModuleNotFoundError", "ImportError", "AttributeError"))
        return StudentFault("missing_file" if absent else "crash", error[:300])
    answers = answer.get("answers")
    if not isinstance(answers, list) or len(answers) != len(cases):
        return StudentFault("bad_output", "not an answer for each case")
    for number, (case, given) in enumerate(zip(cases, answers), start=1):
        for name, right in case.right.items():
            if not isinstance(given, dict) or name not in given:
                return StudentFault("bad_output", f"case {number}: no {name}")
            wrong = wrong_answer(right, given[name])
            if wrong:
                return StudentFault("wrong_answer", f"case {number} of {len(cases)}, {name}: {wrong}")
    return None


def message(test: Test, fault: StudentFault | None, failed: set[str]) -> str:
    """A test's line on the report."""
    if fault is None:
        return "right"
    needed = [name for name in test.needs if name in failed]
    return fault.message + (f" (it uses {', '.join(needed)}, which failed: mend that first)" if needed else "")


def run(grading: Grading, stage: Stage) -> dict[str, Any]:
    spent = Spent()
    cases = {test.name: expected.cases(test.name, grading.seed) for test in stage.tests}
    found = run_worker(grading, stage, cases, spent)
    keep_log(grading, stage, "tests", found.outcome.log)
    faults = {test.name: judge(found, test.name, cases[test.name]) for test in stage.tests}
    failed = {name for name, fault in faults.items() if fault}
    points = sum(test.points for test in stage.tests if test.name not in failed)
    verdict = worst(fault.verdict if fault else "ok" for fault in faults.values())
    details: dict[str, Any] = {"passed": len(stage.tests) - len(failed), "of": len(stage.tests)}
    details["points"] = {test.name: 0.0 if test.name in failed else test.points for test in stage.tests}
    if not stage.hidden:
        details["tests"] = {test.name: message(test, faults[test.name], failed) for test in stage.tests}
    all_of_it = (
        problem(grading, stage, found, f"answer-{stage.tests[0].name}.json") if len(failed) == len(cases) else None
    )
    text = all_of_it.message if all_of_it else f"{details['passed']} of {details['of']} tests passed"
    return finish(stage, verdict, points, spent, text, details, cut(found.outcome.log))
