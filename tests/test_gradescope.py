"""The autograder for Gradescope: what is in the zip, results.json at every moment, its deadline, the metadata."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for the package grader

from grader import gradescope_run as runner  # noqa: E402
from grader import leaks, secret, strip  # noqa: E402
from grader.assignment import load_assignment  # noqa: E402
from grader.errors import UsageError  # noqa: E402

ASSIGNMENT = load_assignment()
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc)
PROBES = [{"name": "read", "closed": True, "detail": ""}]
NO_METADATA = runner.Metadata(None, None, ())


def run(*arguments: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-m", "grader", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=600, env={**os.environ, **environment}
    )


# The zip


@pytest.fixture(scope="module")
def autograder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zip")
    nowhere = {secret.VARIABLE: str(folder / "none")}
    done = run("gradescope", "--out", folder / "autograder.zip", "--profile", "quick", "--minutes", "10", **nowhere)
    assert done.returncode == 0 and "PUBLIC" in done.stdout, done.stderr
    return folder / "autograder.zip"


def test_the_zip_holds_the_grader_and_no_solution(autograder: Path) -> None:
    with zipfile.ZipFile(autograder) as zipped:
        names = set(zipped.namelist())
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in zipped.infolist()}
        setup, wrapper = zipped.read("setup.sh").decode(), zipped.read("run_autograder").decode()
        config = json.loads(zipped.read("package/gradescope.json"))
        sources = {name: zipped.read(name).decode() for name in names if name.endswith(".py")}
    assert {name.split("/")[0] for name in names} == {"setup.sh", "run_autograder", "package"}
    assert modes["setup.sh"] == modes["run_autograder"] == 0o755
    assert {"package/grader/data/entest", "package/data/ensup", "package/data/endev", "package/lexicons/words-50.txt",
            "package/requirements.txt", "package/grader/assignments/neuralization.toml"} <= names  # fmt: skip
    assert not [name for name in names if "/code/" in name or "/tests/" in name or "leaderboard/" in name]
    solutions: dict[str, list[str]] = {}
    for file in strip.GRADED:
        source = (ROOT / "code" / file).read_text(encoding="utf-8")
        solutions |= {f"{file}: {name}": parts for name, parts in strip.strip_source(source, file).bodies.items()}
    runs = leaks.fingerprints(solutions)
    del sources["package/grader/expected.py"]  # right answers by other ways; its affixes are alike, as there is one way
    assert runs and {name: leaks.overlaps([text], runs) for name, text in sources.items()} == dict.fromkeys(sources, [])
    assert "download.pytorch.org/whl/cpu torch==" in setup and "@TORCH@" not in setup
    assert setup.index("whl/cpu") < setup.index("-r /autograder/source/package/requirements.txt")
    assert "chmod -R go-rwx /autograder/source" in setup and "bubblewrap" in setup
    assert "-m grader gradescope --run" in wrapper
    assert config == {
        "assignment": "neuralization.toml", "profile": "quick", "deadline": 600, "per_day": 10,
        "hidden": "after_published",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["setup.sh", "run_autograder"])
def test_its_scripts_are_bash(autograder: Path, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(autograder) as zipped:
        (tmp_path / name).write_bytes(zipped.read(name))
    assert subprocess.run(["bash", "-n", tmp_path / name]).returncode == 0


def test_a_secret_set_goes_along(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "entest").write_text("secret/N words/N\n")
    done = run("gradescope", "--out", tmp_path / "a.zip", **{secret.VARIABLE: str(tmp_path / "kept")})
    assert done.returncode == 0 and "test set: entest" in done.stdout
    with zipfile.ZipFile(tmp_path / "a.zip") as zipped:
        assert zipped.read("package/secret/entest") == b"secret/N words/N\n"
        assert "package/grader/data/entest" not in zipped.namelist()


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--minutes", "1"], "--minutes"),
        (["--profile", "none"], "no profile 'none'"),
        (["--out", "no/where.zip"], "No such"),
    ],
)
def test_bad_options_are_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "a.zip")]
    done = run("gradescope", *out, *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1) and says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_run_is_for_the_container() -> None:
    done = run("gradescope", "--run")
    assert done.returncode == 2 and "container" in done.stderr


# results.json


def stage_entry(name: str, **changes) -> dict:
    stage = next(stage for stage in ASSIGNMENT.stages if stage.name == name)
    entry = {
        "name": name, "title": stage.title, "kind": stage.kind, "verdict": "ok", "points": stage.points,
        "max_points": stage.points, "hidden": stage.hidden, "message": "well", "details": {}, "log": "words",
        "seconds": 1.0, "cpu_seconds": 1.0, "peak_memory": 1,
    }  # fmt: skip
    return {**entry, **changes}


def result_of(*stages: dict, **changes) -> dict:
    accuracy = {"all": 0.95678, "known": 0.97, "seen": 0.9, "novel": None}
    result = {
        "format": 1, "key": "k", "stages": list(stages), "scores": {"endev": {"accuracy": accuracy}}, "score": 50.0,
        "verdict": "ok", "notes": ["the entest that is shipped is public"], "flags": ["a flag"], "seeds": [0],
        "versions": {"torch": "2"}, "profile": "quick", "sandbox": {"level": "A", "probes": PROBES},
    }  # fmt: skip
    return {**result, **changes}


def unit_entry() -> dict:
    tests = ASSIGNMENT.stage("unit").tests
    points = {test.name: test.points for test in tests[1:]} | {tests[0].name: 0.0}
    said = {test.name: "right" for test in tests} | {tests[0].name: "case 1: wrong"}
    return stage_entry(
        "unit", points=sum(points.values()), verdict="wrong_answer", details={"points": points, "tests": said}
    )


def report(result: dict, metadata: runner.Metadata = NO_METADATA, final: bool = True, late: bool = False) -> dict:
    made = runner.report(result, ASSIGNMENT.stages, metadata, "after_published", 12.6, final, late)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    return made


def assert_schema(content: dict) -> None:
    """By Gradescope's description of results.json."""
    visibilities = {"hidden", "after_due_date", "after_published", "visible"}
    assert set(content) <= {
        "score", "execution_time", "output", "output_format", "test_output_format", "test_name_format", "visibility",
        "stdout_visibility", "extra_data", "tests", "leaderboard",
    }  # fmt: skip
    assert content["visibility"] in visibilities and content["stdout_visibility"] == "hidden"
    for test in content["tests"]:
        assert set(test) == {"name", "score", "max_score", "status", "output", "output_format", "visibility"}
        assert test["status"] in ("passed", "failed") and test["visibility"] in visibilities
        assert 0 <= test["score"] <= test["max_score"] and test["output_format"] == "text"
    for column in content.get("leaderboard", ()):
        assert set(column) == {"name", "value", "order"} and column["order"] in ("asc", "desc")


def test_a_final_report() -> None:
    content = report(result_of(unit_entry(), *map(stage_entry, ("training", "tagging", "leaderboard"))))
    assert_schema(content)
    unit = ASSIGNMENT.stage("unit")
    assert len(content["tests"]) == len(unit.tests) + 3
    first = content["tests"][0]
    assert (first["score"], first["max_score"], first["status"]) == (0.0, unit.tests[0].points, "failed")
    assert first["output"] == "case 1: wrong"
    assert content["score"] == sum(stage.points for stage in ASSIGNMENT.stages) - unit.tests[0].points
    visible = {test["name"]: test["visibility"] for test in content["tests"]}
    assert [name for name, how in visible.items() if how != "visible"] == [ASSIGNMENT.stage("tagging").title]
    assert content["leaderboard"][0] == {"name": "endev %", "value": 95.7, "order": "desc"}
    assert [column["name"] for column in content["leaderboard"]] == ["endev %", "known %", "seen %"]
    assert content["extra_data"]["sandbox"] == {"level": "A", "probes": PROBES}
    assert content["execution_time"] == 13 and "public" in content["output"] and "a flag" not in content["output"]


def test_a_report_on_the_way_has_the_stages_so_far() -> None:
    content = report(result_of(unit_entry(), scores={}), final=False)
    assert_schema(content)
    assert len(content["tests"]) == len(ASSIGNMENT.stage("unit").tests) and "Grading goes on" in content["output"]
    assert "leaderboard" not in content


def test_a_report_at_the_deadline_has_all_stages() -> None:
    content = report(result_of(unit_entry(), stage_entry("training", verdict="timeout", points=0.0)), late=True)
    assert_schema(content)
    missing = [test for test in content["tests"] if test["output"].startswith("not reached")]
    assert [test["max_score"] for test in missing] == [stage.points for stage in ASSIGNMENT.stages[2:]]
    assert "The time limit ended the grading" in content["output"]
    assert_schema(report({}, late=True))


def test_no_board_without_a_sandbox() -> None:
    assert "leaderboard" not in report(result_of(unit_entry(), sandbox={"level": "none", "probes": []}))


def test_logs_are_shown_of_public_failures_only() -> None:
    failed = stage_entry("training", verdict="crash", points=0.0, log="Traceback <b>" + "x" * 50_000)
    training, tagging = report(result_of(failed, stage_entry("tagging", log="")))["tests"][-3:-1]
    assert "Traceback <b>" in training["output"] and len(training["output"]) <= runner.LONGEST_TEXT
    assert tagging["output"] == "well"


# Metadata


def metadata(tmp_path: Path, **changes) -> runner.Metadata:
    raw = {
        "id": 1,
        "created_at": "2026-03-02T12:00:00.000000-08:00",
        "users": [{"email": "ada@example.edu", "name": "Ada", "id": 7}],
        "assignment": {"due_date": "2026-03-01T23:59:00.000000-08:00", "late_due_date": None, "total_points": "100.0"},
        "previous_submissions": [],
        **changes,
    }
    (tmp_path / "m.json").write_text(json.dumps(raw))
    return runner.read_metadata(tmp_path / "m.json")


@pytest.mark.parametrize(
    "created, days",
    [
        ("2026-03-01T23:59:00.000000-08:00", 0),
        ("2026-03-01T23:59:00.000001-08:00", 1),
        ("2026-03-02T23:59:00-08:00", 1),
        ("2026-03-03T08:00:00Z", 2),
        ("2026-02-01T00:00:00-08:00", 0),
        ("nonsense", 0),
        (None, 0),
    ],
)
def test_late_days(tmp_path: Path, created: str | None, days: int) -> None:
    found = metadata(tmp_path, created_at=created)
    assert found.late_days == days
    said = report(result_of(), found)
    assert said["extra_data"]["late_days"] == days and ("late" in said["output"]) == (days > 0)


def test_names_and_addresses_stay_where_they_are(tmp_path: Path) -> None:
    found = metadata(tmp_path)
    assert "Ada" not in repr(found) and "example.edu" not in repr(found)
    assert "example.edu" not in json.dumps(report(result_of(), found))


def test_gradings_of_the_last_day_are_counted_by_the_time_of_submission(tmp_path: Path) -> None:
    def previous(hours: float, **changes) -> dict:
        when = datetime.fromisoformat("2026-03-02T12:00:00-08:00") - timedelta(hours=hours)
        return {
            "submission_time": when.isoformat(),
            "score": "12.5",
            "autograder_error": False,
            "results": {},
            **changes,
        }

    entries = [
        previous(1), previous(23.9), previous(24.1), previous(-1), previous(2, autograder_error=True),
        previous(3, score=None), previous(5, results=None),
        {"submission_time": "?", "score": "1"},
    ]  # fmt: skip
    recent = metadata(tmp_path, previous_submissions=entries).in_last_day(10)
    assert [score for _, score in recent] == [12.5] * 3
    refusal = runner.refusal(3, recent)
    assert (
        refusal["score"] == 12.5 and "at most 3" in refusal["output"] and "2026-03-02T12:06-08:00" in refusal["output"]
    )
    assert metadata(tmp_path, created_at=None, previous_submissions=entries).in_last_day(10) == []


def test_refused_submissions_do_not_count_though_they_have_a_score(tmp_path: Path) -> None:
    """One an hour, three a day: of 30, those let through are the first three of each 24 hours, by simulation."""
    times = [NOON + timedelta(hours=h) for h in range(30)]
    entries = [{"submission_time": time.isoformat(), "score": h} for h, time in enumerate(times)]
    for hours, wanted in ((3, [0, 1, 2]), (20, [0, 1, 2]), (24.5, [1, 2, 24]), (29.5, [24, 25, 26])):
        created = NOON + timedelta(hours=hours)
        known = [entry for entry, time in zip(entries, times) if time < created]
        found = metadata(tmp_path, created_at=created.isoformat(), previous_submissions=known).in_last_day(3)
        assert [score for _, score in found] == wanted


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"assignment": 3, "previous_submissions": null}', '{"created_at": 5}']
)
def test_broken_metadata_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    assert runner.read_metadata(tmp_path / "m.json") == runner.read_metadata(tmp_path / "absent") == NO_METADATA


# Running

WRITER = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from grader.results import write_whole
for number in range({stages}):
    result = {{"format": 1, "key": "k", "score": 1.0, "stages": [{{"number": i}} for i in range(number + 1)]}}
    write_whole(Path({file!r}), json.dumps(result))
    time.sleep({pause})
{last}
"""


def writer(file: Path, stages: int, pause: float, last: str = "") -> list[str]:
    return [sys.executable, "-c", WRITER.format(root=str(ROOT), file=str(file), stages=stages, pause=pause, last=last)]


def test_each_stage_is_told_and_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "POLL", 0.02)
    seen: list[int] = []
    command = writer(tmp_path / "result.json", 3, 0.3, "sys.exit(3)")
    told = lambda result: seen.append(len(result["stages"]))
    assert runner.watch(command, tmp_path / "result.json", time.monotonic() + 100, told) == (True, 3)
    assert seen[-1] == 3 and seen == sorted(set(seen))


@pytest.mark.parametrize(
    "last", ["time.sleep(600)", "import signal; signal.signal(2, signal.SIG_IGN); time.sleep(600)"]
)
def test_the_deadline_ends_a_grading_and_what_is_done_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr(runner, "POLL", 0.02)
    monkeypatch.setattr(runner, "PATIENCE", 0.2)
    file = tmp_path / "result.json"
    seen: list[int] = []
    tell = lambda result: seen.append(len(result["stages"]))
    deadline = time.monotonic() + 600

    def clock() -> float:  # the deadline is there as soon as the first stage is
        return deadline + 1 if seen else time_of_day()

    time_of_day = time.monotonic
    monkeypatch.setattr(runner, "clock", clock)
    in_time, status = runner.watch(writer(file, 1, 0, last), file, deadline, tell)
    assert not in_time and status < 0 and seen == [1]


def package_of(autograder: Path, root: Path) -> Path:
    """The zip as Gradescope unpacks it, beside the submission."""
    with zipfile.ZipFile(autograder) as zipped:
        zipped.extractall(root / "source")
    (root / "submission").mkdir()
    (root / "submission" / "tag.py").write_bytes((ROOT / "grader" / "majority.py").read_bytes())
    return root / "source" / "package"


def test_a_whole_run(autograder: Path, tmp_path: Path) -> None:
    """In the unpacked zip, with the sandbox of this machine; where there is none, no score is written."""
    package = package_of(autograder, tmp_path)
    done = run("gradescope", "--run", "--root", tmp_path, cwd=package, PYTHONPATH="")
    results = tmp_path / "results" / "results.json"
    if done.returncode == 3:
        assert "sandbox" in done.stderr and not results.exists()
        return
    assert done.returncode == 0, done.stderr
    content = json.loads(results.read_text())
    assert_schema(content)
    assert content["extra_data"]["sandbox"]["level"] in "ABC"
    assert len(content["tests"]) == len(ASSIGNMENT.stage("unit").tests) + 3 and 0 < content["score"] < 100
    assert (tmp_path / "submission").stat().st_mode & 0o077 == 0


def test_a_submission_too_many_keeps_the_old_score(
    autograder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = package_of(autograder, tmp_path)
    previous = [{"submission_time": (NOON - timedelta(hours=h)).isoformat(), "score": 7 + h} for h in range(1, 12)]
    (tmp_path / "submission_metadata.json").write_text(
        json.dumps({"created_at": NOON.isoformat(), "previous_submissions": previous})
    )
    monkeypatch.setattr(runner, "ROOT", package)
    assert runner.grade_here(tmp_path) == 0
    content = json.loads((tmp_path / "results" / "results.json").read_text())
    assert content["score"] == 9 and content["extra_data"] == {"not_graded": True}


def test_a_fault_of_the_grader_leaves_no_score(
    autograder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Written early, without a score; taken away when the grading could not be done."""
    package = package_of(autograder, tmp_path)
    results = tmp_path / "results" / "results.json"
    early: list[dict] = []

    def fails(*_) -> tuple[bool, int]:
        early.append(json.loads(results.read_text()))
        return True, 3

    monkeypatch.setattr(runner, "ROOT", package)
    monkeypatch.setattr(runner, "watch", fails)
    assert runner.grade_here(tmp_path) == 3
    assert "score" not in early[0] and early[0]["tests"] == [] and not results.exists()
    assert "no score" in capsys.readouterr().err


# The secret test set


def corpus(path: Path, sentences: int = 60, tag: str = "N") -> Path:
    path.write_text("".join(f"Word{i}/{tag} sleeps/V soundly/R ./.\n" for i in range(sentences)))
    return path


def test_a_secret_set_is_installed_outside_for_its_owner_alone(tmp_path: Path) -> None:
    home = {secret.VARIABLE: str(tmp_path / "kept")}
    done = run("secret", "--from", corpus(tmp_path / "mine"), **home)
    assert done.returncode == 0 and done.stdout.startswith("entest: secret, 60 sentences, 240 tokens"), done.stderr
    kept = tmp_path / "kept" / "entest"
    assert kept.read_bytes() == (tmp_path / "mine").read_bytes()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert "secret" in run("secret", "--show", **home).stdout
    done = run("secret", "--remove", **home)
    assert done.returncode == 0 and "PUBLIC" in done.stdout and not kept.exists()
    assert run("secret", "--remove", **home).returncode == 2


def test_gold_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(secret.VARIABLE, str(tmp_path))
    assert secret.gold_path("entest") == (ROOT / "grader" / "data" / "entest", False)
    (tmp_path / "entest").write_text("a/N\n")
    assert secret.gold_path("entest") == (tmp_path / "entest", True)
    monkeypatch.delenv(secret.VARIABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert secret.secret_folder() == tmp_path / ".config" / "neuralization" / "secret"


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda path: corpus(path, tag="XYZ"), "sentence 1: no tag of ensup: 'XYZ'"),
        (lambda path: corpus(path, sentences=3), "3 sentences are too few"),
        (lambda path: path, "No such file"),
        (lambda path: path.write_text("word/N untagged\n") and path, ":1: a token that is no word/TAG"),
        (lambda path: path.write_bytes(b"\xff/N\n") and path, "codec can't decode"),
        (lambda path: ROOT / "grader" / "data" / "entest", "sentences are in the public corpora"),
        (lambda path: ROOT / "data" / "ensup", "sentences are in the public corpora"),
    ],
)  # fmt: skip
def test_what_will_not_do_as_a_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make, says: str) -> None:
    monkeypatch.setenv(secret.VARIABLE, str(tmp_path / "kept"))
    with pytest.raises(UsageError, match=says):
        secret.install(make(tmp_path / "mine"), "entest")
    assert not (tmp_path / "kept").exists()


def test_the_repository_is_no_place_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(secret.VARIABLE, str(ROOT / "grader" / "data"))
    with pytest.raises(UsageError, match="inside of the repository"):
        secret.install(corpus(tmp_path / "mine"), "entest")
