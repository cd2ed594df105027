"""What students run before they hand in: `submit` makes the zip, or says what the grader would not take; `check` runs
the tests of the tasks and a short training, by the grader's own code."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for the package grader

from grader import check, scoring, submit  # noqa: E402
from grader.assignment import load_assignment  # noqa: E402
from grader.errors import StudentFault, UsageError  # noqa: E402

ASSIGNMENT = load_assignment()
MAJORITY = (ROOT / "grader" / "majority.py").read_bytes()
MODEL = struct.pack("<Q", 2) + b"{}"  # the smallest safetensors file


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of a student: what is handed in, and what lies around it."""
    return write(
        tmp_path / "package",
        {
            "code/tag.py": b"print('tag')\n",
            "code/decoders/exact.py": b"x = 1\n",
            "code/crf.model": b"no part of it",
            "code/__pycache__/tag.py": b"cached",
            "data/endev": b"a/D",
            "tests/test_mine.py": b"",
            "partners.txt": "Ada Lovelace\n\nÉmilie du Châtelet\r\n".encode(),
            "models/best.model": MODEL,
        },
    )


def run(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "grader", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, timeout=300)


def test_the_zip_holds_what_is_handed_in(package: Path, tmp_path: Path) -> None:
    done = run("submit", "--folder", package, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "submission.zip") as zipped:
        assert zipped.testzip() is None
        contents = {name: zipped.read(name) for name in zipped.namelist()}
    assert sorted(contents) == ["code/decoders/exact.py", "code/tag.py", "models/best.model", "partners.txt"]
    assert contents["code/tag.py"] == b"print('tag')\n" and contents["models/best.model"] == MODEL
    assert contents["partners.txt"].decode() == "Ada Lovelace\nÉmilie du Châtelet\n"
    assert all(name in done.stdout for name in contents) and "4 files" in done.stdout


def test_the_same_files_make_the_same_bytes(package: Path, tmp_path: Path) -> None:
    for name in "first.zip", "second.zip":
        assert run("submit", "--folder", package, "--out", name, cwd=tmp_path).returncode == 0
        os.utime(package / "code" / "tag.py", (10**9, 10**9))
        (package / "code" / "tag.py").chmod(0o755)
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


@pytest.mark.parametrize(
    "files, says",
    [
        ({"partners.txt": None}, "partners.txt: is not there"),
        ({"partners.txt": b" \n"}, "partners.txt: has 0 names"),
        ({"partners.txt": b"a\nb\nc\n"}, "partners.txt: has 3 names"),
        ({"partners.txt": b"\xff\n"}, "partners.txt: is no UTF-8"),
        ({"code/tag.py": None}, "code/tag.py is not there"),
        ({"code/tag.py": None, "code/decoders/exact.py": None}, "code/tag.py is not there"),
        ({"models/m.pt": b"PK\x03\x04 pickled"}, "m.pt: is no safetensors file"),
        ({"models/m.model": struct.pack("<Q", 10**9) + b"{}"}, "m.model: is no safetensors file"),
        ({"models/m.model": struct.pack("<Q", 4) + b"[[]]"}, "m.model: is no safetensors file"),
        ({"models/big.model": MODEL + os.urandom(21 << 20)}, "more than 20"),
        ({"code/a\nb.py": b""}, "invisible characters"),
        ({"code/Tag.py": b""}, "two files of this name"),
        ({"code/" + "d/" * 9 + "x.py": b""}, "nested deeper"),
    ],
)
def test_what_the_grader_would_not_take_is_refused(
    package: Path, tmp_path: Path, files: dict[str, bytes | None], says: str
) -> None:
    for name, data in files.items():
        if data is None:
            (package / name).unlink()
        else:
            write(package, {name: data})
    with pytest.raises((UsageError, StudentFault), match=says):
        gathered = {submit.PARTNERS: submit.partners(package / "partners.txt"), **submit.collect(package, ASSIGNMENT)}
        submit.inspect(submit.archive(gathered), ASSIGNMENT)


@pytest.mark.parametrize("place", ["code/more.py", "models/m.model", "partners.txt"])
def test_links_are_refused(package: Path, place: str) -> None:
    (package / place).unlink(missing_ok=True)
    (package / place).symlink_to("/etc/hostname")
    with pytest.raises(UsageError, match="is no plain file"):
        submit.collect(package, ASSIGNMENT), submit.partners(package / "partners.txt")


def test_a_refusal_is_one_line_and_writes_nothing(package: Path, tmp_path: Path) -> None:
    (package / "partners.txt").unlink()
    done = run("submit", "--folder", package, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and "partners.txt" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["package"]
    done = run("submit", "--folder", tmp_path / "nowhere", cwd=tmp_path)
    assert done.returncode == 2 and "no folder code/" in done.stderr


def test_what_will_cost_points_is_said(package: Path, tmp_path: Path) -> None:
    write(
        package,
        {
            "code/broken.py": b"def f(:\n",
            "code/hmm.py": b'def f():\n    raise NotImplementedError(\n        "task_hmm: write Model.e_step"\n    )\n',
        },
    )
    done = run("submit", "--folder", package, cwd=tmp_path)
    assert done.returncode == 0
    assert "warning: code/broken.py:1: Python cannot read it" in done.stdout
    assert "warning: code/hmm.py: Model.e_step is still to be written (task_hmm)" in done.stdout


# check

CONFIGURATION = b"[pytest]\nmarkers =\n    task_forward: f\n    task_viterbi: g\n"
TESTS = b"""
import pytest

@pytest.mark.task_forward
@pytest.mark.parametrize("x", [1, 2, 3])
def test_f(x):
    assert x < 3, "too large"

@pytest.mark.task_viterbi
def test_g():
    raise NotImplementedError("task_viterbi: write g")

@pytest.mark.task_viterbi
class TestMore:
    def test_more(self):
        pass

def test_of_no_task():
    assert False
"""


def test_the_tests_of_each_task_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package = write(tmp_path, {"pytest.ini": CONFIGURATION, "tests/test_mine.py": TESTS})
    outcomes = check.run_tests(package)
    assert len(outcomes) == 5 and {entry["outcome"] for entry in outcomes.values()} == {"passed", "failed"}
    assert not check.report_tests(outcomes)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["task_forward", "2", "of", "3", "passed;"] and "too large" in lines[0]
    assert lines[1].split()[:5] == ["task_viterbi", "1", "of", "2", "passed;"]
    assert lines[1].endswith("task_viterbi: write g")
    good = {name: entry for name, entry in outcomes.items() if entry["outcome"] == "passed"}
    assert check.report_tests(good)


def test_tests_that_cannot_run_are_a_fault_with_pytests_words(tmp_path: Path) -> None:
    package = write(tmp_path, {"pytest.ini": CONFIGURATION, "tests/test_mine.py": b"import nothing_of_this_name\n"})
    with pytest.raises(StudentFault, match="nothing_of_this_name"):
        check.run_tests(package)


def test_training_and_tagging_are_those_of_the_grader() -> None:
    """The baseline, trained and scored by `check`, has the accuracy that is counted here by other code."""
    data = submit.archive({"code/tag.py": MAJORITY})
    trained, tagged = check.grade(data, ASSIGNMENT, "quick")
    assert (trained["kind"], trained["verdict"], tagged["kind"], tagged["verdict"]) == (
        "training", "ok", "leaderboard", "ok"
    )  # fmt: skip
    gold = scoring.read_gold(ROOT / "data" / "endev")
    best = scoring.majority(scoring.read_gold(ROOT / "data" / "ensup"), gold)
    right = sum(given == wanted for s, tags in zip(gold, best) for given, wanted in zip(tags, s.tags))
    assert tagged["details"]["accuracy"] == pytest.approx(right / sum(map(len, gold)), abs=1e-12)


def test_a_program_that_fails_gets_the_graders_message() -> None:
    program = b'raise NotImplementedError("task_forward: write chain.forward")\n'
    trained, tagged = check.grade(submit.archive({"code/tag.py": program}), ASSIGNMENT, "quick")
    assert trained["verdict"] == "crash" and "task_forward: write chain.forward" in trained["message"]
    assert tagged["verdict"] == "missing_file" and "no model" in tagged["message"]


def test_check_as_a_student_runs_it(package: Path) -> None:
    """Exit status 1, no traceback, and a word that there is no sandbox."""
    write(package, {"pytest.ini": CONFIGURATION, "tests/test_mine.py": TESTS})
    done = run("check", "--folder", package, cwd=package)
    assert done.returncode == 1 and done.stderr == "", done.stderr
    assert "No sandbox" in done.stdout and "task_forward" in done.stdout and "Not yet." in done.stdout


def test_the_archive_of_check_is_that_of_submit(package: Path) -> None:
    files = submit.collect(package, ASSIGNMENT)
    assert submit.PARTNERS not in files
    with zipfile.ZipFile(io.BytesIO(submit.archive(files))) as zipped:
        assert zipped.namelist() == sorted(files)


def test_outcomes_are_json(tmp_path: Path) -> None:
    """A group of errors is told one by one; a long text is cut."""
    from grader import outcomes

    assert outcomes.describe(ValueError("a\n  b")) == "ValueError: a b"
    assert len(json.dumps(outcomes.describe(ValueError("x" * 9999)))) < 600
    group = RuntimeError("two")
    group.exceptions = (ValueError("a"), KeyError("b"), ValueError("a"))
    assert outcomes.describe(group) == "ValueError: a | KeyError: 'b'"
