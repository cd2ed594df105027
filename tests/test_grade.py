"""Grading one submission: what it gets, what it must not see, and whose fault is whose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grader import cases, expected, results, scoring
from grader.__main__ import main
from grader.assignment import Assignment, load_assignment
from grader.cases import Case
from grader.errors import GraderFault, StudentFault, UsageError
from grader.grade import grade_submission
from grader.sandbox import Sandbox
from grader.stages import base

import grading
from grading import ASSIGNMENT, TEST, lay_out, submission, tag_py

ROOT = results.ROOT
bare, toy = grading.bare, grading.toy  # fixtures


def stages(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {stage["name"]: stage for stage in result["stages"]}


def without_times(result: dict[str, Any]) -> str:
    kept = {key: value for key, value in result.items() if key not in ("started", "finished")}
    times = ("seconds", "cpu_seconds", "peak_memory", "details")
    kept["stages"] = [{k: v for k, v in s.items() if k not in times} for s in kept["stages"]]
    return json.dumps(kept)


# The whole way


def test_the_majority_gets_the_majoritys_score(tmp_path: Path, toy: Assignment, bare: Sandbox) -> None:
    result = grade_submission(submission(tmp_path / "mine"), toy, bare, tmp_path / "out", submitted_at="2026-05-01")
    assert result["verdict"] == "ok" and result["error"] == ""
    training, gold = (scoring.read_gold(tmp_path / "course" / name) for name in ("data/toysup", "secret/toytest"))
    found = scoring.majority(training, gold)
    right = [sum(a == b for a, b in zip(s.tags, tags)) for s, tags in zip(gold, found)]
    accuracy = sum(right) / sum(map(len, gold))
    assert result["scores"]["toytest"]["correct_by_sentence"] == right
    assert result["scores"]["toytest"]["accuracy"]["all"] == pytest.approx(accuracy)
    assert result["score"] == pytest.approx(20 + 80 * accuracy)
    assert set(result["scores"]) == {"toytest", "twin", "toydev"} and result["seeds"] == [0, 1]
    assert result["submitted_at"] == "2026-05-01" and not any("public" in note for note in result["notes"])
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == results.plain(result)


def test_partners_are_noted_as_the_submission_says_them(tmp_path: Path, toy: Assignment, bare: Sandbox) -> None:
    folder = submission(tmp_path / "mine")
    (folder / "partners.txt").write_bytes(b"\xef\xbb\xbf A. Student \r\n\nB\xff\n" + b"x" * 999 + b"\nmore" * 999)
    result = grade_submission(folder, toy, bare, tmp_path / "out", profile="quick")
    assert result["partners"] == ["A. Student", "B\ufffd", "x" * 100, *["more"] * 5]
    result = grade_submission(submission(tmp_path / "other"), toy, bare, tmp_path / "out2", profile="quick")
    assert result["partners"] == []


def test_graded_twice_it_gets_the_same(tmp_path: Path, toy: Assignment, bare: Sandbox) -> None:
    mine = submission(tmp_path / "mine")
    one, two = (grade_submission(mine, toy, bare, tmp_path / name, profile="quick") for name in ("a", "b"))
    assert without_times(one) == without_times(two)
    other = grade_submission(mine, toy, bare, tmp_path / "c", profile="quick", seed=1)
    assert other["key"] != one["key"]


def test_a_run_sees_what_its_stage_lists_and_words_only(tmp_path: Path, toy: Assignment, bare: Sandbox) -> None:
    look = """
        there = sorted(os.path.join(f, n) for f, _, names in os.walk("..") for n in names)
        print("SEEN", json.dumps([there, open(args.input).read() if args.model else ""]))
    """
    mine = submission(tmp_path / "mine", tag_py=tag_py(train=textual(look), tag=look))
    result = grade_submission(mine, toy, bare, tmp_path / "out", profile="quick")
    logs = {name: stage["log"] for name, stage in stages(result).items()}
    logs["tagging"] = (tmp_path / "out" / "staff" / "tagging-0.log").read_text()
    seen = {name: json.loads(log.split("SEEN ")[1].splitlines()[0]) for name, log in logs.items()}
    data = ["../data/toydev", "../data/toysup"]
    assert seen["training"][0] == ["../code/tag.py", *data]
    assert seen["tagging"][0] == ["../code/graded.model", "../code/tag.py", "../code/words.txt"]
    for name in ("tagging", "leaderboard"):
        assert "/" not in seen[name][1] and "&slash;" in seen[name][1]
    assert sorted(seen["leaderboard"][1].split()) == sorted(t.rpartition("/")[0] for line in TEST for t in line.split())
    assert len(seen["tagging"][1].splitlines()) == 2 * len(TEST)


def textual(block: str) -> str:
    return "; ".join(line.strip() for line in block.strip().splitlines())


MISCHIEF = {
    "wrong length": (tag_py(tag="lines = lines[:-1]"), "tagging", "bad_output"),
    "a line is cut": (tag_py(tag="lines[0] = 'x/N'"), "tagging", "bad_output"),
    "no output": (tag_py(tag="sys.exit(0)"), "tagging", "missing_file"),
    "leaves at once": (tag_py(tag="os._exit(0)"), "tagging", "missing_file"),
    "a link to the gold": (
        tag_py(tag="os.symlink('/etc/passwd', args.output_file); sys.exit(0)"),
        "tagging",
        "bad_output",
    ),
    "a pipe": (tag_py(tag="os.mkfifo(args.output_file); sys.exit(0)"), "tagging", "bad_output"),
    "a folder": (tag_py(tag="os.mkdir(args.output_file); sys.exit(0)"), "tagging", "bad_output"),
    "an error": (tag_py(tag="raise ValueError(lines)"), "tagging", "crash"),
    "no model": (tag_py(train="sys.exit(0)"), "training", "missing_file"),
    "training fails": (tag_py(train="1 / 0"), "training", "crash"),
    "hangs": (tag_py(train="import time; time.sleep(600)"), "training", "timeout"),
    "exits at import": ("import os; os._exit(0)", "training", "missing_file"),
    "no Python": ("this is not Python", "training", "crash"),
}


@pytest.mark.parametrize("name", MISCHIEF)
def test_what_goes_wrong_and_its_verdict(name: str, tmp_path: Path, toy: Assignment, bare: Sandbox) -> None:
    program, stage, verdict = MISCHIEF[name]
    if name == "hangs":
        toy = replace(toy, profiles={"quick": replace(toy.profiles["quick"], wall=1.0)})
    result = grade_submission(
        submission(tmp_path / "mine", tag_py=program), toy, bare, tmp_path / "out", profile="quick"
    )
    found = stages(result)[stage]
    assert found["verdict"] == verdict and found["points"] == 0, found
    assert result["score"] == (0 if stage == "training" else 20)
    assert result["finished"] and result["error"] == "" and len(result["stages"]) == 3


def test_a_hidden_stage_says_fixed_words_only(tmp_path: Path, toy: Assignment, bare: Sandbox) -> None:
    """Words of the test set in an exception, on the screen, in file names: nothing of it comes back."""
    loud = "print(lines); open('a' + lines[0][:9].replace('/', ''), 'w'); raise ValueError('QUOTE' + str(lines))"
    mine = submission(tmp_path / "mine", tag_py=tag_py(tag=loud))
    result = grade_submission(mine, toy, bare, tmp_path / "out", profile="quick")
    hidden = stages(result)["tagging"]
    assert (hidden["message"], hidden["log"], hidden["details"]) == (base.FIXED["crash"], "", {})
    assert "QUOTE" in stages(result)["leaderboard"]["log"] and "QUOTE" not in json.dumps(hidden)


def test_flags_that_a_program_does_not_know_are_left_out(tmp_path: Path, toy: Assignment, bare: Sandbox) -> None:
    """--colour is known to none here, --max_steps to one of the two."""
    narrow = tag_py().replace('parser.add_argument("--max_steps", type=int)', "")
    for number, program in enumerate((tag_py(), narrow)):
        mine = submission(tmp_path / f"mine{number}", tag_py=program)
        result = grade_submission(mine, toy, bare, tmp_path / f"out{number}", profile="quick")
        assert stages(result)["training"]["verdict"] == "ok", stages(result)["training"]["log"]
    strict = narrow.replace('for name in ("train", ', 'for name in ("corpus", ')
    mine = submission(tmp_path / "strict", tag_py=strict)
    result = grade_submission(mine, toy, bare, tmp_path / "out", profile="quick")
    assert stages(result)["training"]["verdict"] == "crash" and "--train" in stages(result)["training"]["message"]


def test_a_missing_program_is_named(tmp_path: Path, toy: Assignment, bare: Sandbox) -> None:
    mine = submission(tmp_path / "mine", tagger_py="", tag_ipynb="{}")
    (mine / "code" / "tag.py").unlink()
    result = grade_submission(mine, toy, bare, tmp_path / "out", profile="quick")
    assert result["verdict"] == "missing_file" and result["score"] == 0
    assert "there is no tag.py" in stages(result)["training"]["message"]
    assert any("notebook" in note for note in result["notes"])


def test_memorised_answers_are_flagged(tmp_path: Path, toy: Assignment, bare: Sandbox) -> None:
    """The test set by heart, and nothing for other words."""
    toy = replace(toy, profiles={"quick": replace(toy.profiles["quick"], gap=0.05)})
    heart = {word: tag for line in TEST for word, _, tag in (token.rpartition("/") for token in line.split())}
    order = {line: i for i, line in enumerate(" ".join(t.rpartition("/")[0] for t in line.split()) for line in TEST)}
    program = f"""
        heart, order = {heart!r}, {order!r}
        given = open(args.input).read().splitlines()
        tag = lambda word, line: heart.get(word, "N") if line in order else "?"
        lines = [" ".join(word + "/" + tag(word, line) for word in line.split(" ")) for line in given]
    """
    mine = submission(tmp_path / "mine", tag_py=tag_py(tag=program))
    result = grade_submission(mine, toy, bare, tmp_path / "out", profile="quick")
    assert any("memorised" in flag for flag in result["flags"]) and stages(result)["tagging"]["details"]["flagged"] == 1


# Whose fault


class Broken:
    """A sandbox that is no more."""

    name, probes = "A", []

    def hide(self, *paths: Path) -> None:
        raise GraderFault("sandbox_unavailable", "install bubblewrap")


def test_a_fault_of_the_grader_is_no_score_and_leaves_the_old_one(
    tmp_path: Path, toy: Assignment, bare: Sandbox
) -> None:
    mine, out = submission(tmp_path / "mine"), tmp_path / "out"
    fault = grade_submission(mine, toy, Broken(), out, profile="quick")
    assert fault["score"] is None and fault["verdict"] == "sandbox_unavailable" and "bubblewrap" in fault["error"]
    assert not results.finished(results.read_result(out / "result.json"))
    first = grade_submission(mine, toy, bare, out, profile="quick")
    grade_submission(mine, toy, Broken(), out, profile="quick", seed=5)
    assert results.read_result(out / "result.json") == results.plain(first)
    assert json.loads((out / "unfinished.json").read_text())["score"] is None
    second = grade_submission(mine, toy, bare, out, profile="quick", seed=5)
    assert results.read_result(out / "result.json")["key"] == second["key"] != first["key"]
    kept = [path for path in out.glob("result-*.json")]
    assert [json.loads(path.read_text())["key"] for path in kept] == [first["key"]]
    assert not (out / "unfinished.json").exists()


def test_an_error_in_the_grader_is_the_graders(
    tmp_path: Path, toy: Assignment, bare: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "score", lambda *arguments: 1 / 0)
    result = grade_submission(submission(tmp_path / "mine"), toy, bare, tmp_path / "out", profile="quick")
    assert result["score"] is None and result["verdict"] == "grader_error" and "ZeroDivisionError" in result["error"]


# Unit tests of the graded functions


REAL = load_assignment("neuralization")


def test_every_graded_function_has_a_test() -> None:
    named = {test.name for stage in REAL.stages for test in stage.tests}
    assert named == set(expected.BUILDERS)


@pytest.mark.parametrize("test", sorted(expected.BUILDERS))
def test_zeros_pass_no_case(test: str) -> None:
    """Of any seed, with -1 in the padding too; and what is right passes."""
    for seed in range(5):
        for case in expected.cases(test, seed):
            for name, right in case.right.items():
                if isinstance(right, list):
                    assert cases.wrong(right, right) is None and cases.wrong(right, [[""] * 9 for _ in right])
                    continue
                filled = np.where(np.isnan(right), 7.0, right)
                assert cases.wrong(right, cases.plain(filled)) is None, name
                for zeros in (np.zeros_like(right), np.where(right == -1, -1.0, 0.0)):
                    assert cases.wrong(right, zeros.tolist()), (name, seed)
                size = np.where(np.isfinite(filled), np.maximum(1, np.abs(filled)), 0.0)
                worse = filled + 1e-3 * size
                assert cases.wrong(right, cases.plain(worse)), name


def test_a_case_that_zeros_would_pass_cannot_be_built() -> None:
    with pytest.raises(GraderFault, match="nearly 0"):
        Case({}, dict(answer=np.full(3, 1e-4)))


@pytest.mark.parametrize("given", [
    1.0, [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0]], ["1", 2.0], [None, 2.0], [True, 2.0], {"0": 1}, "nan", ["nan", 2.0],
    ["inf", 2.0], [1.0, "-inf"], [1.0, 2.1], [[], []],
])  # fmt: skip
def test_answers_that_are_wrong(given: Any) -> None:
    assert cases.wrong(np.array([1.0, 2.0]), given)
    assert cases.wrong(np.array([1.0, 2.0]), [1, 2.000001]) is None


def reference(folder: Path) -> Path:
    """code/ with what the hand-out has of it: without the kernels."""
    shutil.copytree(
        ROOT / "code", folder / "code", ignore=shutil.ignore_patterns("*_fast.py", "__pycache__", "*.model")
    )
    return folder


def unit_stage(bare: Sandbox, mine: Path, out: Path) -> dict[str, Any]:
    alone = replace(REAL, stages=tuple(stage for stage in REAL.stages if stage.kind == "unit"))
    return grade_submission(mine, alone, bare, out, profile="quick")["stages"][0]


def test_the_reference_gets_full_marks(tmp_path: Path, bare: Sandbox) -> None:
    found = unit_stage(bare, reference(tmp_path / "mine"), tmp_path / "out")
    assert found["verdict"] == "ok" and found["points"] == found["max_points"] == 40, found["details"]


ZEROS = """

def _zeros(value):
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, dict):
        return {key: _zeros(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        made = [_zeros(each) for each in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    return "" if isinstance(value, str) else 0.0


def _zero(owner, name):
    original = getattr(owner, name)
    def answer(*arguments, **more):
        return _zeros(original(*arguments, **more))
    setattr(owner, name, answer)


"""
ZEROED = {
    "logsumexp_safe.py": "import sys\n_m = sys.modules[__name__]\n"
    "for _n in ('logsumexp_safe', 'logaddexp_safe'): _zero(_m, _n)\n",
    "chain.py": "import sys\n_m = sys.modules[__name__]\n"
    "for _n in ('forward', 'backward', 'viterbi', 'counts_by_backprop'): _zero(_m, _n)\n",
    "hmm.py": "_zero(HiddenMarkovModel, 'e_step')\n"
    "HiddenMarkovModel.m_step = lambda self, *a: [p.data.zero_() for p in self.parameters()]\n",
    "crf.py": "_zero(ConditionalRandomField, 'gradient')\n",
    "crf_backprop.py": "_zero(ConditionalRandomFieldBackprop, 'emission_weights')\n"
    "def _nothing(self, *a):\n    for p in self.parameters(): p.grad = torch.zeros_like(p)\n    return 0.0\n"
    "ConditionalRandomFieldBackprop.add_gradient = _nothing\n",
    "crf_neural.py": "for _n in ('context', 'transition_potentials', 'emission_potentials'):\n"
    "    _zero(ConditionalRandomFieldNeural, _n)\n",
    "lexicon.py": "import sys\n_m = sys.modules[__name__]\n_zero(_m, 'problex')\n_zero(_m, 'affixes')\n",
}


def test_zeros_get_nothing_and_a_crash_costs_its_own_test_only(tmp_path: Path, bare: Sandbox) -> None:
    """All functions answer zeros of the right shape, but m_step leaves its process, and viterbi exits."""
    mine = reference(tmp_path / "mine")
    for name, text in ZEROED.items():
        with (mine / "code" / name).open("a") as file:
            file.write(ZEROS + text)
    with (mine / "code" / "hmm.py").open("a") as file:
        file.write("import os\nHiddenMarkovModel.m_step = lambda *a: os._exit(0)\n")
    with (mine / "code" / "chain.py").open("a") as file:
        file.write("viterbi = lambda chain: sys.exit(0)\n")
    found = unit_stage(bare, mine, tmp_path / "out")
    assert found["points"] == 0 and set(found["details"]["points"].values()) == {0.0}
    said = found["details"]["tests"]
    assert "SystemExit" in said["viterbi"] and "ended its own process" in said["hmm_m_step"]
    with_a_value = set(said) - {"viterbi", "hmm_m_step", "logsumexp_safe", "logaddexp_safe", "counts_by_backprop"}
    for name in with_a_value:  # the others ended without one: zeros have no gradient
        assert said[name].startswith("case 1"), (name, said[name])


# JSON from the other side


@pytest.mark.parametrize("data", [
    b"", b"{", b"[1,]", b"\xff", b"NaN", b"[Infinity]", b"-Infinity", b"1e999", b"[1e400]", b'{"a": 1, "a": 2}',
    b"[" * 100_000, b"[" * 20 + b"]" * 20, b'{"a":' * 50 + b"1" + b"}" * 50, b"1" * 5000, b"0." + b"1" * 5000,
    b'"\x00"', b"\xef\xbb\xbf[]",
])  # fmt: skip
def test_json_bombs(data: bytes) -> None:
    with pytest.raises(StudentFault) as refused:
        results.parse_json(data)
    assert refused.value.verdict == "bad_output"


def test_json_that_is_taken() -> None:
    text = b'{"a": [1, -2.5, 1e-7, "x[[[[[[[[[[[[[[[[[[[\\"[[[", null, true], "b": {"a": 12345678901234567}}'
    assert results.parse_json(text) == json.loads(text)


# The assignment file


WRONG = {
    'format = 1': ('format = 2', "format"),
    'kind = "training"': ('kind = "dance"', "kind"),
    "points = 20": ("points = -1", "points"),
    "seeds = [0, 1]": ("seeds = [0, 0]", "seeds"),
    "gap = 0.3": ("gab = 0.3", "gab"),
    "[1.0, 1.0]]\n[profiles.quick]": ("[0.0, 1.0]]\n[profiles.quick]", "tagging"),
    'data = ["toysup", "toydev"]': ('data = ["toysup", "../secret"]', "data"),
    '"{seed}"': ('"{sead}"', "sead"),
    'required = ["tag.py"]': ("required = []", "required"),
    "wall = 30, cpu": ("wall = 0, cpu", "wall"),
    'gold = "toydev"': ('gold = "../toydev"', "gold"),
    "twin = 0.2": ("twin = nan", "twin"),
    'model = "graded.model"\nmodel_mb = 1\nlimits': ("model_mb = 1\nlimits", "model"),
    "files = 50": ('files = "50"', "files"),
}  # fmt: skip


@pytest.mark.parametrize("old", WRONG)
def test_a_wrong_field_is_named(old: str, tmp_path: Path) -> None:
    path = lay_out(tmp_path)
    new, named = WRONG[old]
    assert old in ASSIGNMENT
    path.write_text(ASSIGNMENT.replace(old, new, 1))
    with pytest.raises(UsageError) as refused:
        load_assignment(path)
    assert str(path) in str(refused.value) and named in str(refused.value) and "\n" not in str(refused.value)


def test_the_shipped_assignments_are_read() -> None:
    for name in ("neuralization", "neuralization-flags"):
        found = load_assignment(name)
        assert {"full", "quick"} == set(found.profiles) and all("entest" not in stage.data for stage in found.stages)
        assert sum(stage.points for stage in found.stages) == 100


# The command line


def test_command_line(tmp_path: Path, toy: Assignment) -> None:
    mine = submission(tmp_path / "mine")
    command = [sys.executable, "-m", "grader", "grade", mine, "--assignment", tmp_path / "course" / "toy.toml",
               "--out", tmp_path / "out", "--profile", "quick"]  # fmt: skip
    done = subprocess.run(
        [*command, "--sandbox", "none", "--i-trust-this-code"], cwd=ROOT, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert "WITHOUT a sandbox" in done.stdout and "Training: trained 1 model" in done.stdout
    assert results.finished(results.read_result(tmp_path / "out" / "result.json"))


@pytest.mark.parametrize("arguments, said", [
    (["grade", "no-such-thing"], "no-such-thing"),
    (["grade", ".", "--sandbox", "none"], "--i-trust-this-code"),
    (["grade", ".", "--assignment", "no-such.toml"], "no-such"),
    (["grade", ".", "--seed", "x"], "--seed"),
    (["dance"], "dance"),
])  # fmt: skip
def test_bad_command_lines(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(arguments)
    except SystemExit as leaving:
        status = leaving.code
    err = capsys.readouterr().err
    assert status == 2 and said in err and err.count("\n") == 1


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert "python -m grader grade homework.zip" in out and "Exit status" in out
