"""The students' templates: the questions of INSTRUCTIONS.md by number and points, in order, and TeX that compiles."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from options import parser

ROOT = Path(__file__).resolve().parent.parent
MARKDOWN = (ROOT / "writeup" / "template.md").read_text(encoding="utf-8")
TEX = (ROOT / "writeup" / "template.tex").read_text(encoding="utf-8")
INSTRUCTIONS = (ROOT / "INSTRUCTIONS.md").read_text(encoding="utf-8")
BASIC = {"amsmath", "geometry", "graphicx", "hyperref"}  # packages of Debian's texlive-latex-base, and of BasicTeX


class Question(NamedTuple):
    """As a template has it; the title without its markup."""

    number: int
    title: str
    points: int


def plain(title: str) -> str:
    return re.sub(r"\\texttt\{(\w+)\}|[`$]", r"\1", title)


def of_markdown() -> list[Question]:
    found = re.findall(r"^### (\d+)\. (.+) \((\d+) points\)$", MARKDOWN, re.MULTILINE)
    return [Question(int(number), plain(title), int(points)) for number, title, points in found]


def of_tex() -> list[Question]:
    found = re.findall(r"^\\question\{(\d+)\}\{(.+)\}\{(\d+)\}$", TEX, re.MULTILINE)
    return [Question(int(number), plain(title), int(points)) for number, title, points in found]


def of_instructions() -> dict[int, int | None]:
    """The number of each question, and its points where they are said: `**16.** (4 points) ...`."""
    found = re.findall(r"^\*\*(\d\d)\.\*\*(?: \((\d+) points\))?", INSTRUCTIONS, re.MULTILINE)
    return {int(number): int(points) if points else None for number, points in found}


def test_questions_are_those_of_the_instructions() -> None:
    assert [question.number for question in of_markdown()] == list(of_instructions()) == list(range(16, 27))


def test_points_are_those_of_the_instructions() -> None:
    given = of_instructions()
    if not any(given.values()):
        pytest.skip("INSTRUCTIONS.md says no points of questions")
    assert {question.number: question.points for question in of_markdown()} == given


def test_the_templates_agree() -> None:
    assert of_tex() == of_markdown()
    assert all(question.title and question.points > 0 for question in of_markdown())
    total = sum(question.points for question in of_markdown())
    assert f"Questions 16-26 give {total} points." in MARKDOWN and f"Questions 16--26 give {total} points." in TEX


def test_parts_are_sections_of_the_instructions() -> None:
    """In their order, each over its own questions."""
    sections = re.findall(r"^## \d+\. (Part \d: .+)$", INSTRUCTIONS, re.MULTILINE)
    for parts in (
        re.findall(r"^## (Part .+)$", MARKDOWN, re.MULTILINE),
        re.findall(r"^\\section\*\{(Part .+)\}$", TEX, re.MULTILINE),
    ):
        assert [part.removesuffix(" (extra credit)") for part in parts] == sections
    for section in sections[:3]:
        in_instructions = INSTRUCTIONS.split(f". {section}\n")[1].split("\n## ")[0]
        in_template = MARKDOWN.split(f"## {section}\n")[1].split("\n## ")[0]
        numbers = re.findall(r"^\*\*(\d\d)\.\*\*", in_instructions, re.MULTILINE)
        assert numbers and numbers == re.findall(r"^### (\d+)\.", in_template, re.MULTILINE)


def test_who_did_what_comes_first() -> None:
    """INSTRUCTIONS.md asks for it in the first lines."""
    assert re.findall(r"^## (.+)$", MARKDOWN, re.MULTILINE)[0] == "Who did what"
    assert re.findall(r"^\\section\*\{(.+)\}$", TEX, re.MULTILINE)[0] == "Who did what"


def commands(text: str) -> list[str]:
    return re.findall(r"^python tag\.py .*$", text.replace("\\\n    ", ""), re.MULTILINE)


def test_commands_are_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """The same in both, with options that tag.py has; `...` is for the student to fill in."""
    assert commands(MARKDOWN) == commands(TEX) and len(commands(MARKDOWN)) >= 10
    for command in commands(MARKDOWN):
        words = shlex.split(command)[2:]
        options = [word for word in words if word.startswith("--")]
        known = {option for action in parser()._actions for option in action.option_strings}
        assert set(options) <= known, command
        if "..." not in words:
            parser().parse_args(words)


def test_only_basic_packages() -> None:
    assert set(re.findall(r"\\usepackage(?:\[[^]]*\])?\{(\w+)\}", TEX)) <= BASIC


def test_the_tex_template_compiles(tmp_path: Path) -> None:
    """Without a warning of a box too wide, before anything is filled in."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("no pdflatex here to compile writeup/template.tex with")
    shutil.copy(ROOT / "writeup" / "template.tex", tmp_path)
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "template.tex"]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "template.pdf").read_bytes().startswith(b"%PDF")
    assert "Overfull" not in done.stdout and "undefined" not in done.stdout
