"""The hand-out: solutions taken out by markers that are checked strictly, the search for leaks, the real build.

The proofs that take minutes (its tests, the grader on it) run when it is made: `python -m grader handout --out DIR`.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for the package grader

from grader import fresh, handout, leaks, proofs, strip  # noqa: E402
from grader.errors import GraderFault  # noqa: E402

SOURCE = '''"""A module."""
import math


class Model:
    def step(self, x: float) -> float:
        """Docstring: stays."""
        # BEGIN SOLUTION
        # a comment that goes
        y = math.sqrt(x)
        return y + 1
        # END SOLUTION

    def given(self) -> int:
        return 1  # stays


def f(x, many_words_so_that_the_line_is_long=None, and_more_of_them=None):
    """f."""
    start = 0
    # BEGIN SOLUTION
    return start + x
    # END SOLUTION
'''
GRADED = {"Model.step": "task_step", "f": "task_f"}


def stripped(source: str, graded: dict[str, str] | None = None) -> strip.Stripped:
    return strip.strip_source(source, "code/model.py", GRADED if graded is None else graded, {})


# Stripping


def test_a_region_becomes_an_error_that_names_its_task() -> None:
    result = stripped(SOURCE)
    expected = SOURCE.replace(
        SOURCE[SOURCE.index("        # BEGIN") : SOURCE.index("\n    def given")],
        '        raise NotImplementedError("task_step: write Model.step")\n',
    )
    begin = expected.index("    # BEGIN")
    assert result.source == expected[:begin] + '    raise NotImplementedError("task_f: write model.f")\n'
    assert result.bodies == {
        "Model.step": ["# a comment that goes\ny = math.sqrt(x)\nreturn y + 1\n"],
        "f": ["return start + x\n"],
    }
    space: dict = {}
    exec(compile(result.source, "model", "exec"), space)
    with pytest.raises(NotImplementedError, match=r"^task_step: write Model\.step$"):
        space["Model"]().step(1.0)
    assert space["Model"]().given() == 1 and space["Model"].step.__doc__ == "Docstring: stays."


def test_two_regions_of_a_function() -> None:
    source = body("# BEGIN SOLUTION\nx += 1\n# END SOLUTION\nx *= 2\n# BEGIN SOLUTION\nreturn x\n# END SOLUTION")
    result = stripped(source, {"f": "task_f"})
    assert result.source.count("raise NotImplementedError") == 2 and result.bodies == {"f": ["x += 1\n", "return x\n"]}


def test_a_twin_loses_all_of_its_body() -> None:
    source = "class A:\n    def g(self):\n        '''Doc.'''\n        a = 1\n        return a\n"
    result = strip.strip_source(source, "a.py", {}, {"A.g": "task_g"})
    assert result.source == (
        "class A:\n    def g(self):\n        '''Doc.'''\n        raise NotImplementedError(\"task_g: write A.g\")\n"
    )
    assert result.bodies == {"A.g": ["a = 1\nreturn a\n"]}


def test_a_long_message_is_folded() -> None:
    name = "f" + "_long" * 20
    source = f"def {name}():\n    # BEGIN SOLUTION\n    return 1\n    # END SOLUTION\n"
    result = strip.strip_source(source, "a.py", {name: "task_long"}, {})
    assert f'(\n        "task_long: write a.{name}"\n    )\n' in result.source


def body(lines: str) -> str:
    return "def f(x):\n" + "".join(f"    {line}\n" if line else "\n" for line in lines.split("\n"))


@pytest.mark.parametrize(
    "source, says",
    [
        (body("# BEGIN SOLUTION\nreturn 1"), "code/model.py:2: '# BEGIN SOLUTION' without an"),
        (body("return 1\n# END SOLUTION"), "code/model.py:3: '# END SOLUTION' without a"),
        (body("# BEGIN SOLUTION\n# BEGIN SOLUTION\nreturn 1\n# END SOLUTION"), "code/model.py:3: .* inside of the"),
        (body("# BEGIN SOLUTION\nreturn 1\n# END SOLUTION\n# END SOLUTION"), "code/model.py:5: .* without a"),
        (body("# BEGIN SOLUTON\nreturn 1\n# END SOLUTION"), "code/model.py:2: .* looks like a marker"),
        (body("# BEGIN SOLUTION\nreturn 1\n# END SOLLUTION"), "code/model.py:4: .* looks like a marker"),
        (body("# EMD SOLUTOIN\nreturn 1"), "code/model.py:2: .* looks like a marker"),
        (body("# begin solution\nreturn 1\n# end solution"), "code/model.py:2: .* looks like a marker"),
        (body("# Begin Solution\nreturn 1"), "code/model.py:2: .* looks like a marker"),
        (body("#BEGIN SOLUTION\nreturn 1"), "code/model.py:2: .* looks like a marker"),
        (body("## BEGIN SOLUTION\nreturn 1"), "code/model.py:2: .* looks like a marker"),
        (body("# BEGIN_SOLUTION\nreturn 1"), "code/model.py:2: .* looks like a marker"),
        (body("# BEGIN SOLUTION of f\nreturn 1"), "code/model.py:2: .* looks like a marker"),
        (body("# the BEGIN SOLUTION marker\nreturn 1"), "code/model.py:2: .* looks like a marker"),
        (body("x = 1  # BEGIN SOLUTION\nreturn 1\n# END SOLUTION"), "code/model.py:2: .* on a line of its own"),
        (body("'''doc\n# BEGIN SOLUTION\n'''\nreturn 1"), "code/model.py:3: .* in a string"),
        (body("y = 'end solution'"), "code/model.py:2: .* in a string"),
        (body("# BEGIN SOLUTION\nreturn 1\n  # END SOLUTION"), "code/model.py:4: .* is not indented as"),
        (body("# BEGIN SOLUTION\n# END SOLUTION\nreturn 1"), "code/model.py:2: the region holds no statement"),
        (body("# BEGIN SOLUTION\n# later\n# END SOLUTION\nreturn 1"), "code/model.py:2: .* holds no statement"),
        (body("# BEGIN SOLUTION\n'''doc'''\nreturn 1\n# END SOLUTION"), "code/model.py:3: the docstring of f"),
        (body("x = [\n# BEGIN SOLUTION\n1,\n# END SOLUTION\n]"), "code/model.py:3: .* cuts .* statement of line 2"),
        (body("if x:\n    # BEGIN SOLUTION\n    return 1\n    # END SOLUTION"), "code/model.py:3: .* cuts through"),
        ("# BEGIN SOLUTION\nx = 1\n# END SOLUTION\ndef f(x):\n    pass\n", "code/model.py:1: .* outside of every"),
        ("def f(x): pass\ndef g():\n    # BEGIN SOLUTION\n    return 1\n    # END SOLUTION\n", "model.py:3: g holds"),
        (body("return 1"), "code/model.py:1: f is graded and holds no"),
        ("def other():\n    pass\n", "code/model.py: there is no function f"),
    ],
)  # fmt: skip
def test_a_marker_that_does_nothing_is_an_error(source: str, says: str) -> None:
    with pytest.raises(strip.MarkerError, match=says):
        stripped(source, {"f": "task_f"})


@pytest.mark.parametrize(
    "comment", ["# a solution of it", "# send solutions by mail", "# begin", "# and so on", "# ends here"]
)
def test_ordinary_comments_are_none(comment: str) -> None:
    source = f"def f(x):\n    {comment}\n    # BEGIN SOLUTION\n    return 1\n    # END SOLUTION\n"
    assert comment in stripped(source, {"f": "task_f"}).source


@pytest.mark.parametrize(
    "a, b, distance", [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)]
)
def test_edits(a: str, b: str, distance: int) -> None:
    assert strip.edits(a, b) == strip.edits(b, a) == distance


def test_graded_names_are_those_of_the_marks_of_tests() -> None:
    """pyproject.toml says which function each mark is about."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    declared = {
        (task, name.split(".")[-1])
        for task, names in re.findall(r'"(task_\w+): ([^"]+)"', text)
        for name in names.split(", ")
    }
    graded = {(task, name.split(".")[-1]) for names in strip.GRADED.values() for name, task in names.items()}
    assert graded == declared and len(graded) == 16


# Leaks

LEAKED = """    for i in range(1, chain.emit.shape[1]):
        log_alpha = logsumexp_safe(log_alpha[:, :, None] + chain.transition(i), dim=1) + chain.emit[:, i]
        columns.append(log_alpha)
"""
BODIES = {"chain.forward": ["log_alpha = chain.start\ncolumns = []\n" + textwrap.dedent(LEAKED)]}


def scan(folder: Path) -> list[str]:
    return [str(leak) for leak in leaks.scan(folder, BODIES)]


@pytest.mark.parametrize(
    "name, text",
    [
        ("code/other.py", "def g(chain):\n" + LEAKED),
        ("code/doc.py", f'"""For example:\n\n{LEAKED}"""\n'),
        ("code/comment.py", "".join(f"# {line}\n" for line in LEAKED.splitlines())),
        ("code/joined.py", f"HINT = {json.dumps(LEAKED)}\n"),
        ("notes.md", LEAKED.replace("\n", " ")),
        ("n.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": LEAKED.splitlines(keepends=True)}]})),
        ("o.ipynb", json.dumps({"cells": [{"outputs": [{"text": LEAKED.splitlines(keepends=True)}]}]})),
        ("tests/snapshot.json", json.dumps({"forward": LEAKED})),
        ("data/corpus", "A/D line/N\n" * 1000 + LEAKED),
        ("other.py", "def g(chain):\n" + LEAKED.replace(", ", ",").replace(" = ", "=")),
    ],
)
def test_a_leak_is_found_wherever_it_stands(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text, encoding="utf-8")
    (leak,) = scan(tmp_path)
    assert leak.startswith(f"{name}: has this in common with the solution of chain.forward")


def test_what_only_resembles_a_solution_is_no_leak(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("for i in range(1, chain.emit.shape[1]):\n    total += chain.transition(i)\n")
    assert scan(tmp_path) == []


def test_a_short_solution_is_looked_for_whole(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def g(words, self):\n    return words @ self.emission\n")
    bodies = {"m.g": ["# why\nreturn words @ self.emission\n"]}
    assert len(leaks.scan(tmp_path, bodies)) == 1
    assert leaks.scan(tmp_path, bodies, {"a.py": ["return words @ self.emission"]}) == []


def compiled(folder: Path) -> str:
    (folder / "m.py").write_text("x = 1\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(folder)], check=True)
    return "__pycache__"


def compiled_in_disguise(folder: Path) -> str:
    (folder / "m.dat").write_bytes(importlib.util.MAGIC_NUMBER + bytes(12) + b"log_alpha\xff")
    return "m.dat"


def history(folder: Path) -> str:
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    return ".git"


def link(folder: Path) -> str:
    (folder / "data").symlink_to(ROOT / "grader" / "data")
    return "data"


def plain(name: str):
    def make(folder: Path) -> str:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("some text\n")
        return name

    return make


@pytest.mark.parametrize(
    "plant",
    [
        compiled, compiled_in_disguise, history, link,
        *map(plain, ("code/x.model", "out.eval", "grader/data/entest", "data/ptbtest", "data/en-test.conll", "all.zip",
                     "entest.words", "code/chain_fast.py", "code/chain_compiled.py", "code/kernel.c", "a.so", "m.pkl",
                     ".hypothesis/x", "a.py~")),
    ],
)  # fmt: skip
def test_what_must_not_be_there_is_found(tmp_path: Path, plant) -> None:
    name = plant(tmp_path)
    assert any(leak.startswith(name.split("/")[0]) for leak in scan(tmp_path))


def test_the_marker_words_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("one\nbetween `# BEGIN SOLUTION` and\n")
    assert scan(tmp_path) == ["a.md:2: holds 'BEGIN SOLUTION'"]


# The build


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> handout.Built:
    return handout.build(tmp_path_factory.mktemp("made") / "handout")


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_build_holds_what_students_need(built: handout.Built) -> None:
    names = names_in(built.folder)
    wanted = (
        "INSTRUCTIONS.md README.md Makefile requirements.txt pyproject.toml code/tag.py data/endev tests/test_chain.py "
        "lexicons/words-50.txt writeup/template.md grader/check.py grader/submit.py grader/errors.py"
    )
    assert set(wanted.split()) <= names
    unwanted = re.compile(r"test\.conll|entest|_fast|_compiled|/expected|enumerate|attacks")
    assert not [name for name in names if unwanted.search(name)]
    assert {name.split("/")[0] for name in names} <= {
        "INSTRUCTIONS.md", "README.md", "LICENSE", "Makefile", "requirements.txt", "pyproject.toml", ".gitignore",
        "code", "data", "lexicons", "tests", "grader", "writeup",
    }  # fmt: skip
    assert len(built.bodies) == 17 and leaks.scan(built.folder, built.bodies, handout.read_table().accepted) == []


def test_no_word_of_a_marker_is_left(built: handout.Built) -> None:
    for name in names_in(built.folder):
        assert not strip.WORDS.search((built.folder / name).read_text(encoding="utf-8")), name


def test_no_gold_tagging_is_in_it(built: handout.Built) -> None:
    """No sentence of the test set, tagged or not."""
    gold = (ROOT / "grader" / "data" / "entest").read_text(encoding="utf-8").splitlines()
    long = [line for line in gold if line.count(" ") > 8]
    bare = [" ".join(token.rpartition("/")[0] for token in line.split(" ")) for line in long]
    for name in names_in(built.folder):
        text = (built.folder / name).read_text(encoding="utf-8")
        assert not any(line in text for line in long[::20]), name
        assert not any(line in text for line in bare[::20]), name


def test_each_function_to_be_written_says_so(built: handout.Built) -> None:
    assert proofs.holes(built.folder).startswith("17 functions")


def test_only_solutions_are_missing(built: handout.Built) -> None:
    """But for the bodies, code/ has the functions, signatures and docstrings of the reference."""

    def outline(path: Path) -> list[tuple[str, str, str | None]]:
        functions = strip.functions_of(ast.parse(path.read_text(encoding="utf-8")))
        return [(name, ast.dump(node.args), ast.get_docstring(node)) for name, node in functions]

    for path in (built.folder / "code").rglob("*.py"):
        assert outline(path) == outline(ROOT / path.relative_to(built.folder)), path


def test_its_commands_are_check_and_submit(built: handout.Built) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-m", "grader", "--help"], cwd=built.folder, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert re.findall(r"^    ([a-z-]+)  ", done.stdout, re.MULTILINE) == ["check", "submit"]


def test_instructions_name_no_kernel_and_every_file_there_is(built: handout.Built) -> None:
    text = (built.folder / "INSTRUCTIONS.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(([^#)]+)\)", text))
    assert named and all((built.folder / name).exists() for name in named)
    table = text[text.index("Files of `code/`") : text.index("Corpora in `data/`")]
    files = set(re.findall(r"`(\w+\.py)`", table))
    assert "chain.py" in files and all((built.folder / "code" / name).exists() for name in files)


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda t: t.sources.__setitem__("code/none.py", "code/none.py"), "code/none.py: No such file"),
        (lambda t: t.sources.pop("code/chain.py"), "files with solutions are not in the table: chain.py"),
        (lambda t: t.sources.pop("code/corpus.py"), r"imports corpus, which is not handed out"),
        (lambda t: t.sources.pop("grader/errors.py"), r"imports grader.errors, which is not handed out"),
        (lambda t: t.rewrites.__setitem__("LICENSE", [("no such text", "")]), "LICENSE: .* stands in it 0 times"),
        (lambda t: t.sources.__setitem__("data/entest", "grader/data/entest"), "data/entest: must not be handed out"),
        (lambda t: t.sources.__setitem__("code/more.py", "code/hmm.py"), r"code/more.py:\d+: .* holds a marked region"),
        (lambda t: t.rewrites.__setitem__("LICENSE", [("MIT License", "BEGIN SOLUTION")]), "holds 'BEGIN SOLUTION'"),
        (lambda t: t.rewrites.clear(), "code/hmm_neural.py: has this in common with the solution of crf_backprop"),
        (lambda t: t.accepted.clear(), "code/crf.py: has this in common with the solution of crf_backprop"),
    ],
)
def test_a_hand_out_that_is_not_fit_is_not_made(tmp_path: Path, change, says: str) -> None:
    table = handout.read_table()
    light = {
        name: source for name, source in table.sources.items() if not name.startswith(("lexicons/", "data/", "tests/"))
    }
    table = handout.Table(light, table.left_out, dict(table.rewrites), dict(table.accepted))
    change(table)
    with pytest.raises(GraderFault, match=says):
        handout.build(tmp_path / "handout", table=table)


def run_handout(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "grader", "handout", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    done = run_handout("--out", str(tmp_path), "--no-proofs")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1) and "no empty folder" in done.stderr
    assert names_in(tmp_path) == {"kept"}


def test_an_empty_folder_becomes_the_package(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = run_handout("--out", "out", "--no-proofs", cwd=tmp_path)
    assert done.returncode == 0 and "NOT PROVED" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (tmp_path / "out" / "code" / "chain.py").exists()


# What the proofs conclude from outcomes of tests


def outcome(kind: str, message: str = "", tasks: tuple[str, ...] = ()) -> dict:
    return {"tasks": list(tasks), "outcome": kind, "message": message}


UNWRITTEN = "NotImplementedError: task_f: write m.f"


def test_tests_before_may_fail_by_functions_to_be_written_only() -> None:
    good = {"a": outcome("failed", UNWRITTEN, ("task_f",)), "b": outcome("passed"), "c": outcome("failed", UNWRITTEN)}
    assert proofs.judge_before(good, {"task_f"}) == "2 fail with NotImplementedError, which names a task; 1 pass"
    both = outcome("failed", f"{UNWRITTEN} | NotImplementedError: task_g: write Model.g", ("task_f",))
    assert proofs.judge_before({"a": both}, {"task_f"})
    for bad in (
        outcome("failed", "AssertionError: no"),
        outcome("failed", "NotImplementedError: Model is not trained"),
        outcome("failed", f"{UNWRITTEN} | ValueError: x"),
        outcome("skipped"),
        outcome("not run"),
    ):
        with pytest.raises(proofs.Unproved, match="1 tests end otherwise"):
            proofs.judge_before({**good, "d": bad}, {"task_f"})
    with pytest.raises(proofs.Unproved, match="no test fails for task_g"):
        proofs.judge_before(good, {"task_f", "task_g"})


def test_instructions_state_the_points_of_the_assignment() -> None:
    from grader.assignment import load_assignment

    text = (ROOT / "INSTRUCTIONS.md").read_text(encoding="utf-8")
    section = text[text.index("## 10. ") : text.index("## 11. ")]
    stated = [float(points) for points in re.findall(r"^\| [^|]+ \| (\d+) \|", section, re.MULTILINE)]
    assert stated == [stage.points for stage in load_assignment().stages]


# A student's new machine

MAKEFILE = """
tag: .venv/ready
\tcd code && ../.venv/bin/python tag.py endev
check: .venv/ready
\t@echo "  Tagging endev: accuracy 97%"; echo; echo "All is well so far."
submit: .venv/ready
\t@touch submission.zip; echo "submission.zip: 1 file"
.venv/ready:
\tmkdir -p .venv/bin && cp ../python .venv/bin/python && touch $@
"""
PYTHON = f"""#!/bin/sh
case "$*" in
  "-m pip list"*) echo torch==1; echo numpy==2 ;;
  "-m pytest -q -m task_f") echo "3 passed in 1s" ;;
  *) exec {sys.executable} "$@" ;;
esac
"""
TAG = """
import os, pathlib, sys
assert sys.argv[1:] == ["endev", "--max_steps", "5000", "--eval_interval", "5000"], sys.argv
assert "PYTHONPATH" not in os.environ and "VIRTUAL_ENV" not in os.environ
pathlib.Path("m_endev.output").write_text("the/D dog/N\\n")
print("accuracy       all 97.00%  known -")
"""


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fresh.Student:
    """A package as small as can be, whose environment is this one."""
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere/else")
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    folder = tmp_path / "package"
    for name, text in {
        "Makefile": MAKEFILE, "code/tag.py": TAG, "data/endev": "the/D dog/N\n",
        "INSTRUCTIONS.md": "So:\n\n```sh\npython -m pytest -q -m task_f\n```\n",
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return fresh.Student(folder)


def test_a_new_environment_is_made_and_used(student: fresh.Student) -> None:
    assert [proof() for _, proof in student.proofs()] == [
        "2 packages by make, torch==1",
        "2 tokens of endev, 97.00% right, by cd code && ../.venv/bin/python tag.py endev " + fresh.SHORT,
        "3 passed, by python -m pytest -q -m task_f",
        "Tagging endev: accuracy 97%",
        "submission.zip: 1 file",
    ]


@pytest.mark.parametrize("step, file, old, new, says", [
    ("environment", "Makefile", "mkdir", "exit 3; mkdir", "make .venv/ready: exit status 2"),
    ("tag", "code/tag.py", "accuracy ", "precision", "prints no accuracy"),
    ("tag", "code/tag.py", "dog/N", "", r"with \[1\] tokens"),
    ("tag", "code/tag.py", "import os", "raise SystemExit(5)\nimport os", "exit status 5"),
    ("tests", "INSTRUCTIONS.md", "pytest", "unittest", "does not say"),
    ("tests", "INSTRUCTIONS.md", "task_f", "task_g", "exit status"),
    ("check", "Makefile", "All is well so far", "Not yet", "Not yet"),
    ("submit", "Makefile", '@touch submission.zip; echo "', '@echo "warning: code/a.py: f is unwritten; ', "warning:"),
])  # fmt: skip
def test_what_fails_on_a_new_machine_is_told(
    student: fresh.Student, step: str, file: str, old: str, new: str, says: str
) -> None:
    if step != "environment":
        student.environment()
    path = student.folder / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(proofs.Unproved, match=says):
        getattr(student, step)()
