"""A class graded at once: nothing finished is lost or done twice, whatever ends it; tables that are safe to open.

python tests/test_grade_many.py 100      the batch, killed at 100 random moments
"""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from grader import grade_many, results  # noqa: E402
from grader.__main__ import main  # noqa: E402
from grader.assignment import Assignment  # noqa: E402
from grader.errors import UsageError  # noqa: E402
from grader.grade_many import Work, as_cell, find_submissions, folder_of  # noqa: E402

import grading  # noqa: E402
from grading import lay_out, submission, tag_py  # noqa: E402

toy = grading.toy  # a fixture
TRUSTED = ["--sandbox", "none", "--i-trust-this-code", "--profile", "quick"]


def a_class(folder: Path, size: int) -> Path:
    """So many submissions: every fourth has an error in it."""
    for number in range(size):
        broken = tag_py(tag="1 / 0")
        submission(folder / f"student{number:02}", tag_py=broken if number % 4 == 3 else tag_py())
    return folder


def batch(folder: Path, *more: str) -> list[str]:
    """The command for the class in `folder`/class."""
    return ["grade-many", str(folder / "class"), "--out", str(folder / "out"),
            "--assignment", str(folder / "course" / "toy.toml"), *TRUSTED, *more]  # fmt: skip


def results_of(out: Path) -> dict[str, dict[str, Any]]:
    """All finished results; every file that has the name of one must be whole."""
    texts = {path.parent.name: path.read_text() for path in out.glob("*/result.json")}
    found = {name: json.loads(text) for name, text in texts.items()}
    return {name: result for name, result in found.items() if results.finished(result)}


def rows_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "scores.csv").read_text())))


# Kill -9


def killed_batch(folder: Path, size: int, kills: int, seed: int) -> dict[str, int]:
    """Start a batch, kill it, and start it again; then let it end. Asserts that what was finished once stays as it is.

    Each time it is killed a random moment after it has finished none, one or two more.
    """
    choose = random.Random(seed)
    lay_out(folder / "course")
    a_class(folder / "class", size)
    out = folder / "out"
    environment = {**os.environ, "NEURALIZATION_SECRET": str(folder / "course" / "secret")}
    command = [sys.executable, "-m", "grader", *batch(folder, "--jobs", "2")]
    finished: dict[str, dict[str, Any]] = {}
    alive = 0
    for _ in range(kills):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        wanted = len(finished) + choose.randrange(3)
        while process.poll() is None and len(results_of(out)) < wanted:
            time.sleep(0.01)
        time.sleep(choose.uniform(0, 0.5))
        alive += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = results_of(out)
        for name, result in finished.items():
            assert now[name] == result, f"{name} was lost, or graded twice"
        finished = now
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    at_end = results_of(out)
    assert len(at_end) == size and all(at_end[name] == result for name, result in finished.items())
    assert not list(out.glob("*/result-*.json")), "a submission was graded twice"
    expected = {f"student{number:02}": "crash" if number % 4 == 3 else "ok" for number in range(size)}
    assert [(row["submission"], row["verdict"]) for row in rows_of(out)] == sorted(expected.items())
    return {"kills": kills, "while it ran": alive, "finished before the last start": len(finished)}


def test_kill_9_loses_nothing_and_grades_nothing_twice(tmp_path: Path) -> None:
    said = killed_batch(tmp_path, size=8, kills=4, seed=1)
    assert said["while it ran"] > 0 and said["finished before the last start"] > 0


# What is graded again, and what is not


def test_only_what_changed_is_graded_again(tmp_path: Path, toy: Assignment, capsys: pytest.CaptureFixture[str]) -> None:
    a_class(tmp_path / "class", 2)
    assert main(batch(tmp_path)) == 0
    first = results_of(tmp_path / "out")
    assert main(batch(tmp_path)) == 0 and results_of(tmp_path / "out") == first
    (tmp_path / "class" / "student01" / "code" / "more.py").write_text("")
    assert main(batch(tmp_path)) == 0
    second = results_of(tmp_path / "out")
    changed = [name for name in first if first[name]["key"] != second[name]["key"]]
    assert [name.startswith("student01") for name in changed] == [True]
    assert len(list((tmp_path / "out" / changed[0]).glob("result-*.json"))) == 1
    assert main(batch(tmp_path, "--seed", "4")) == 0
    assert all(result["key"] != second[name]["key"] for name, result in results_of(tmp_path / "out").items())
    assert "2 submissions, mean score" in capsys.readouterr().out


def work_of(tmp_path: Path) -> Work:
    return Work(find_submissions(tmp_path / "class"), tmp_path / "out", str(tmp_path / "course" / "toy.toml"), "quick",
                0, "none", None, True)  # fmt: skip


def test_only_faults_of_the_grader_are_tried_again(
    tmp_path: Path, toy: Assignment, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_class(tmp_path / "class", 1)
    work, calls = work_of(tmp_path), []
    for scores in ([None, 50.0], [0.0], [None, None, 50.0]):
        left = list(scores)
        monkeypatch.setattr(
            grade_many, "grade_submission", lambda *a, left=left: calls.append(0) or {"score": left.pop(0)}
        )
        result = grade_many.grade_one(work, work.submissions[0], toy, grade_many.sandbox_of(work))
        assert result["score"] == scores[min(len(scores), grade_many.TRIES) - 1]
    assert len(calls) == 2 + 1 + 2


def test_what_another_process_grades_is_passed_over(tmp_path: Path, toy: Assignment) -> None:
    a_class(tmp_path / "class", 1)
    work = work_of(tmp_path)
    sandbox = grade_many.sandbox_of(work)
    with grade_many.only_here(folder_of(work, work.submissions[0])) as ours:
        assert ours and grade_many.grade_one(work, work.submissions[0], toy, sandbox) is None
    assert grade_many.grade_one(work, work.submissions[0], toy, sandbox)["verdict"] == "ok"


def test_a_fault_of_the_grader_is_told_and_stops_nothing(
    tmp_path: Path, toy: Assignment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_class(tmp_path / "class", 3)
    original = grade_many.grade_submission

    def broken(path: Path, *more: Any) -> dict[str, Any]:
        found = original(path, *more)
        return {**found, "score": None, "verdict": "grader_error", "error": "no disk"} if "01" in path.name else found

    monkeypatch.setattr(grade_many, "grade_submission", broken)
    assert main(batch(tmp_path)) == 3
    assert "student01: grader_error: no disk" in capsys.readouterr().err
    assert [row["score"] == "" for row in rows_of(tmp_path / "out")] == [False, True, False]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["verdicts"] == {"ok": 2, "grader_error": 1} and summary["sandbox_levels"] == {"none": 3}


def test_levels_of_the_sandbox_do_not_mix(tmp_path: Path, toy: Assignment, capsys: pytest.CaptureFixture[str]) -> None:
    a_class(tmp_path / "class", 2)
    assert main(batch(tmp_path)) == 0
    (path,) = (tmp_path / "out").glob("student00-*/result.json")
    result = json.loads(path.read_text())
    result["sandbox"]["level"] = "A"
    path.write_text(json.dumps(result))
    capsys.readouterr()
    assert main(batch(tmp_path)) == 2
    assert "mix sandbox levels A, none" in capsys.readouterr().err
    assert main(batch(tmp_path, "--allow-mixed-levels")) == 0


# Names and tables


ODD = [
    "=cmd()",
    "+1",
    "-2+3",
    "@x",
    "--flag",
    "a b",
    "\u202eexe.gpj",
    "\u00e9\u20ac",
    "x" * 200,
    "a;rm -rf ~",
    "<b>",
    "..",
]


def test_odd_names_make_safe_and_different_folders(tmp_path: Path) -> None:
    work = Work((), tmp_path, "", "", 0, "", None, False)
    names = [*ODD, "A b", "a-b", os.fsdecode(b"\xff\xfe"), "\n"]
    folders = [folder_of(work, tmp_path / name) for name in names]
    assert len({folder.name.lower() for folder in folders}) == len(names)
    for folder in folders:
        assert folder.parent == tmp_path and folder.name.isascii() and not folder.name.startswith((".", "-"))
        assert set(folder.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@pytest.mark.parametrize("value, cell", [
    ("=1+1", "'=1+1"), (" =1", "' =1"), ("@SUM(A1)", "'@SUM(A1)"), ("-2+3", "'-2+3"), ("+x", "'+x"),
    ("\t=1", "\ufffd=1"),
    ("plain", "plain"), (-1.5, "-1.5"), (50.0, "50"), (None, ""), ("a\nb", "a\ufffdb"), ("%x", "'%x"), ("|x", "'|x"),
])  # fmt: skip
def test_no_cell_is_a_formula(value: Any, cell: str) -> None:
    assert as_cell(value) == cell


def test_what_is_a_submission(tmp_path: Path) -> None:
    for name in ("b.zip", "a.tar.gz", "notes.txt", ".hidden.zip", "D.TAR"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "c")
    assert [path.name for path in find_submissions(tmp_path)] == ["D.TAR", "a.tar.gz", "b.zip", "c"]
    with pytest.raises(UsageError, match="no folder, zip or tar"):
        find_submissions(tmp_path / "c")


# More machines


def test_tasks_of_a_queue(tmp_path: Path, toy: Assignment, capsys: pytest.CaptureFixture[str]) -> None:
    """Each by its index, in any order; --collect makes the tables."""
    a_class(tmp_path / "class", 2)
    for index in ("1", "0"):
        assert main(batch(tmp_path, "--index", index)) == 0
    assert main(batch(tmp_path, "--collect")) == 0
    assert [row["submission"] for row in rows_of(tmp_path / "out")] == ["student00", "student01"]
    capsys.readouterr()
    assert main(batch(tmp_path, "--index", "2")) == 2 and "there are 2" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["class", "cl'ass; touch x"])
def test_slurm_array(name: str, tmp_path: Path, toy: Assignment, capsys: pytest.CaptureFixture[str]) -> None:
    a_class(tmp_path / name, 3)
    command = ["grade-many", str(tmp_path / name), *batch(tmp_path)[2:], "--emit", "slurm-array", "--jobs", "2"]
    assert main(command) == 0
    script = capsys.readouterr().out
    assert "#SBATCH --array=0-2%2" in script and not (tmp_path / "out").exists()
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).returncode == 0
    grader = script.strip().splitlines()[-1].replace(sys.executable, "echo")
    (tmp_path / "out" / "logs").mkdir(parents=True)
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": "1"}
    assert subprocess.run(["bash", "-c", grader], cwd=tmp_path, env=environment).returncode == 0
    said = (tmp_path / "out" / "logs" / "1.log").read_text()
    assert said.startswith(f"-m grader grade-many {tmp_path / name} --out") and said.endswith("--index 1\n")
    assert "#SBATCH --time=00:" in script
    assert not (tmp_path / "x").exists()


def test_kubernetes_job(tmp_path: Path, toy: Assignment, capsys: pytest.CaptureFixture[str]) -> None:
    a_class(tmp_path / "class", 3)
    assert main(batch(tmp_path, "--emit", "k8s-job", "--jobs", "2")) == 0
    text = capsys.readouterr().out
    assert str(tmp_path / "class") in text.splitlines()[2]
    job = json.loads("".join(line for line in text.splitlines() if not line.startswith("#")))
    assert (job["spec"]["completions"], job["spec"]["parallelism"], job["spec"]["backoffLimitPerIndex"]) == (3, 2, 0)
    assert "backoffLimit" not in job["spec"], "one that fails would end all"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert '--index "$JOB_COMPLETION_INDEX"' in container["command"][2]
    secret = str(tmp_path / "course" / "secret")
    assert container["env"] == [{"name": "NEURALIZATION_SECRET", "value": secret}]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {
        secret, str(tmp_path / "class"), str(tmp_path / "out")
    }  # fmt: skip


@pytest.mark.parametrize("name, hours", [("neuralization", "01:23"), ("neuralization-flags", "04:10")])
def test_a_queue_is_told_a_shipped_assignment_by_its_name(
    name: str, hours: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By whatever path it was given; and the time that its stages may take, seed for seed."""
    (tmp_path / "a").mkdir()
    for given in (name, str(ROOT / "grader" / "assignments" / f"{name}.toml")):
        assert main(["grade-many", str(tmp_path), "--emit", "slurm-array", "--assignment", given]) == 0
        script = capsys.readouterr().out
        assert f" --assignment {name} --profile full" in script and f"#SBATCH --time={hours}:00" in script


def test_dask(tmp_path: Path, toy: Assignment, capsys: pytest.CaptureFixture[str]) -> None:
    """Through Dask where it is installed; where not, one line says what is."""
    a_class(tmp_path / "class", 2)
    try:
        import distributed  # noqa: F401
    except ImportError:
        assert main(batch(tmp_path, "--backend", "dask")) == 2
        assert "extra `scale`" in capsys.readouterr().err
    else:
        assert main(batch(tmp_path, "--backend", "dask")) == 0
        assert [row["verdict"] for row in rows_of(tmp_path / "out")] == ["ok", "ok"]
        assert main(batch(tmp_path, "--backend", "dask", "--scheduler", "tcp://10.0.0.1:8786")) == 2


def script(arguments: Sequence[str]) -> None:
    kills = int(arguments[0]) if arguments else 100
    with tempfile.TemporaryDirectory() as folder:
        said = killed_batch(Path(folder), size=max(8, 2 * kills), kills=kills, seed=0)
        print(", ".join(f"{name}: {number}" for name, number in said.items()))


if __name__ == "__main__":
    script(sys.argv[1:])
