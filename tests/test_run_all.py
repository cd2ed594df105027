"""`make experiments`: what it says before it starts, that it goes on after a failure, and that quick runs are quick."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from test_experiments import ROOT  # puts the experiments on the path

# isort: split

import closer_rows
import common
import experiments
from experiments import SCRIPTS, Script

NAMES = [script.name for script in SCRIPTS]


def started(monkeypatch: pytest.MonkeyPatch, failing: str = "") -> list[list[str]]:
    """The commands that would be run, as they come; one script fails."""
    commands: list[list[str]] = []

    def run(command: list[Any]) -> subprocess.CompletedProcess[str]:
        commands.append([Path(command[1]).stem, *command[2:]])
        return subprocess.CompletedProcess(command, int(commands[-1][0] == failing))

    monkeypatch.setattr(experiments.subprocess, "run", run)
    return commands


def test_every_script_is_there_and_takes_what_it_is_given() -> None:
    assert len(set(NAMES)) == len(NAMES) and NAMES[-2:] == ["pictures", "fill"]
    folder = ROOT / "writeup" / "experiments"
    for script in SCRIPTS:
        text = (folder / f"{script.name}.py").read_text(encoding="utf-8")
        if "script.options(" in text:
            text += (folder / "script.py").read_text(encoding="utf-8")
        options = {"--check"} if script.name == "fill" else {"--quick", *script.arguments[::2]}
        assert all(f'"{option}"' in text for option in options), script.name


def test_the_makefile_calls_it() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^experiments:.*\n\t.*experiments\.py \$\(if \$\(QUICK\),--quick\)$", text, re.MULTILINE)


def test_the_table_before_it_starts(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    commands = started(monkeypatch)
    assert experiments.main(["--list"]) == 0 and commands == []
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["experiment", "runs", "missing", "about"]
    assert [line.split()[0] for line in lines] == [*NAMES, "all"]


def test_an_estimate_is_of_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "RESULTS", tmp_path)
    script = Script("made", None, 50.0, jobs=2)._replace(runs=lambda: iter([("a", True), ("a", False), ("b", False)]))
    start = experiments.START
    assert experiments.estimate(script, ["a", "b"]) == pytest.approx((100 + 2 * start) / 2)
    common.write_json(tmp_path / "made.json", dict(systems=dict(a=dict(train_seconds=dict(mean=7.0, deviation=None)))))
    assert experiments.estimate(script, ["a", "b"]) == pytest.approx(
        (14 + 2 * start) / 2
    )  # b by the mean of the others
    systems = dict(a=dict(runs=[dict(train_seconds=1.0), dict(train_seconds=3.0)]), b=dict(seconds=9.0))
    common.write_json(tmp_path / "made.json", dict(systems=systems))
    assert experiments.recorded_seconds("made") == {"a": 2.0, "b": 9.0}
    assert experiments.overview([script]).splitlines()[1].split()[:3] == ["made", "3", "2"]
    unknown = experiments.overview([script, Script("search", None, None)])
    assert "not known" in unknown and "more than" in unknown.splitlines()[-1]
    assert experiments.duration(59) == "59 s" and experiments.duration(600) == "10 min"
    assert experiments.duration(9000) == "2.5 h"


def test_runs_that_are_there_are_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "RESULTS", tmp_path)
    of = {script.name: script.runs for script in SCRIPTS if script.runs}
    assert set(of) == {"main_line", "artificial", "models", "language_model", "answers", "closer", "search"}
    for runs in of.values():
        wanted = list(runs())
        assert wanted and not any(done for _, done in wanted)
    job = experiments.closer.job_of(tmp_path / "closer", "hmm", 1, False)
    common.write_json(job.path, dict(command=job.command))
    assert [row for row, done in of["closer"]() if done] == ["hmm"]
    assert sum(row == "hmm" for row, _ in of["closer"]()) == closer_rows.GROUPS["EM"].seeds


def test_it_goes_on_after_a_failure_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(experiments, "RESULTS", tmp_path)
    commands = started(monkeypatch, failing="models")
    assert experiments.main([]) == 1
    assert commands == [[script.name, *script.arguments] for script in SCRIPTS]
    assert capsys.readouterr().err == "experiments.py: error: models.py failed: what it said stands above\n"
    commands.clear()
    (tmp_path / "speed.md").touch()
    (tmp_path / "grader.md").touch()
    assert experiments.main(["--only", "speed", "grader_speed", "fill"]) == 0
    assert commands == [["fill"]]


def test_a_quick_run_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each script then writes to a folder of its own; documents are only compared."""
    commands = started(monkeypatch)
    assert experiments.main(["--quick"]) == 0
    assert commands == [[name, "--check" if name == "fill" else "--quick"] for name in NAMES]
