"""A plugin of pytest that notes what became of each test: `python -m pytest -p grader.outcomes`.

With $OUTCOMES it writes there, as JSON, {test: {"tasks", "outcome", "message"}}; with $TASKS_ONLY set it leaves out the
tests that bear no mark of a task. The message is that of the error, cut to a line for a person to read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

seen: dict[str, dict[str, Any]] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tasks = {
        item: sorted({mark.name for mark in item.iter_markers() if mark.name.startswith("task_")}) for item in items
    }
    if os.environ.get("TASKS_ONLY"):
        items[:] = [item for item in items if tasks[item]]
    for item in items:
        seen[item.nodeid] = {"tasks": tasks[item], "outcome": "not run", "message": ""}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Any:
    report = yield
    entry = seen[item.nodeid]
    if report.failed:
        entry.update(outcome="failed", message=describe(call.excinfo.value))
    elif report.skipped and entry["outcome"] != "failed":
        entry.update(outcome="skipped")
    elif report.when == "call" and entry["outcome"] == "not run":
        entry.update(outcome="passed")
    return report


def describe(error: BaseException) -> str:
    """Type and text of an error; of a group of them, of each."""
    inner = getattr(error, "exceptions", None)  # an ExceptionGroup, or what stands for it before Python 3.11
    if isinstance(inner, (tuple, list)) and inner:
        return " | ".join(dict.fromkeys(map(describe, inner)))
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def pytest_sessionfinish() -> None:
    if "OUTCOMES" in os.environ:
        Path(os.environ["OUTCOMES"]).write_text(json.dumps(seen), encoding="utf-8")
