"""What the documents say is what the scripts printed, and what they name exists."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "writeup" / "experiments"))

import answers  # noqa: E402
import fill  # noqa: E402

TYPED = re.compile(r"\d+\.\d+|\d+(?: |\u00a0)?%")  # what looks measured


def text_of(name: str) -> str:
    """A document whose results are all measured."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if missing := fill.unmeasured_pages(text, fill.RESULTS):
        pytest.skip(f"not measured yet: {', '.join(missing)} (make experiments)")
    return text


@pytest.mark.parametrize("name", fill.DOCUMENTS)
def test_tables_are_the_results(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert fill.MARKED.search(text), "no table in it"
    assert fill.filled(text, fill.RESULTS, fill.unmeasured_pages(text, fill.RESULTS)) == text


def test_no_number_of_the_answers_is_typed() -> None:
    """Numbers in prose are filled in too; what an option is set to is in backquotes."""
    text = fill.without_marks((ROOT / "writeup" / "answers.md").read_text(encoding="utf-8"))
    prose = re.sub(r"<!--.*?-->|```.*?```|`[^`\n]*`|\$[^$\n]*\$", "", text, flags=re.DOTALL)
    allowed = ("within 2 %",)  # answers.NEAR
    for phrase in allowed:
        assert prose.count(phrase) == 1
        prose = prose.replace(phrase, "")
    assert TYPED.findall(prose) == []
    assert f"within {100 * (answers.NEAR - 1):.0f} %" == allowed[0]


def test_marks_are_whole() -> None:
    """As many beginnings as ends, all understood, and none where Markdown would take it for a block."""
    text = (ROOT / "writeup" / "answers.md").read_text(encoding="utf-8")
    assert text.count("<!-- BEGIN ") == text.count("<!-- END -->") == len(fill.MARKED.findall(text)) > 20
    assert text.count("<!-- = ") == text.count("<!-- / -->") == len(fill.CELL.findall(text)) > 20
    assert not re.search(r"^ *<!-- = ", text, re.MULTILINE)


def test_the_answers_are_finished_when_all_is_measured() -> None:
    assert "<!-- CHECK" not in text_of("writeup/answers.md")


def test_answers_to_all_questions_in_order() -> None:
    """With the titles and points of the students' template; and the page is not for students."""
    pattern = re.compile(r"^### (\d\d)\. (.+) \((\d+) points\)$", re.MULTILINE)
    answered, asked = (
        pattern.findall((ROOT / "writeup" / name).read_text(encoding="utf-8")) for name in ("answers.md", "template.md")
    )
    assert answered == asked and [number for number, *_ in asked] == [str(n) for n in range(16, 27)]
    handout = (ROOT / "grader" / "handout.toml").read_text(encoding="utf-8")
    assert "reading.md" in handout and "answers.md" not in handout


def test_figures_and_sections_that_the_answers_link_to() -> None:
    text = (ROOT / "writeup" / "answers.md").read_text(encoding="utf-8")
    made = {
        "answers_settings",
        "answers_curves",
        "answers_data",
        "closer_words",
        "main_line",
        "learning_curves",
        "search",
    }
    assert {Path(name).stem for name in re.findall(r"!\[[^]]*\]\(figures/([\w.]+)\)", text)} == made
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_a_part_of_a_result(tmp_path: Path) -> None:
    (tmp_path / "made.md").write_text("# Head\n\n| a |\n| --- |\n| 1 |\n\nMeasured today.\n", encoding="utf-8")
    document = "x\n<!-- BEGIN made 1 -->\nold\n<!-- END -->\ny\n<!-- BEGIN made Measured -->\n<!-- END -->\n"
    filled = fill.filled(document, tmp_path)
    assert "| 1 |\n<!-- END -->\ny" in filled and "Measured today.\n<!-- END -->" in filled and "old" not in filled
    assert fill.filled(filled, tmp_path) == filled
    with pytest.raises(LookupError, match="no part"):
        fill.filled("<!-- BEGIN made 2 -->\n<!-- END -->", tmp_path)
    with pytest.raises(LookupError, match="absent"):
        fill.filled("<!-- BEGIN absent 1 -->\n<!-- END -->", tmp_path)


PAGE = """# Page

## First: of systems

| row | all % | time, s |
| --- | ---: | ---: |
| a b | 1.5 ± 0.1 | 10 |
| a c | 2.5 | 20 |

## Second

| A | B | words | difference |
| --- | --- | --- | ---: |
| a b | a c | all | +1 |
| a b | a c | known | +2 |
| x/y | a c | all | -3 |
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "made.md").write_text(PAGE, encoding="utf-8")
    return tmp_path


def test_columns_and_rows_of_a_table(page: Path) -> None:
    def part(text: str) -> list[str]:
        return fill.filled(f"<!-- BEGIN made {text} -->\nold\n<!-- END -->", page).splitlines()[1:-1]

    assert part("#First | time; row") == ["| time, s | row |", "| ---: | --- |", "| 10 | a b |", "| 20 | a c |"]
    assert part("#Second | difference | a b / * / known; x*") == ["| difference |", "| ---: |", "| +2 |", "| -3 |"]
    assert part("2 |  | x/y") == [
        "| A | B | words | difference |",
        "| --- | --- | --- | ---: |",
        "| x/y | a c | all | -3 |",
    ]
    assert part("#Sec | A | a b; a b / a c / all") == ["| A |", "| --- |", "| a b |", "| a b |"]
    for wrong, what in ("#Third", "no part"), ("#First | sec", "no column"), ("#First | row | z", "no row"):
        with pytest.raises(LookupError, match=what):
            part(wrong)


def test_a_cell_in_a_line(page: Path) -> None:
    def cell(text: str) -> str:
        filled = fill.filled(f"so <!-- = made {text} -->old<!-- / --> it is", page)
        assert fill.filled(filled, page) == filled and fill.without_marks(filled) == "so  it is"
        return re.sub("<!--.*?-->", "", filled)

    assert cell("#First | a b | all") == "so 1.5 ± 0.1 it is"
    assert cell("#First | a b | all | mean") == "so 1.5 it is" and cell("1 | a c | time | mean") == "so 20 it is"
    assert cell("| x/y | diff") == "so -3 it is" and cell("| a b / a c / known | difference") == "so +2 it is"
    for wrong in ("| a b | difference", "| a b | nothing", "| z | all", "#Second | a b | all", "| a c | all | median"):
        with pytest.raises(LookupError, match="cells"):
            cell(wrong)


def test_fill_tells_what_differs_and_what_is_missing(
    page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fill, "ROOT", page)
    monkeypatch.setattr(fill, "RESULTS", page)
    made = "<!-- = made | x/y | diff --><!-- / -->"
    (page / "good.md").write_text(f"is {made}\n", encoding="utf-8")
    (page / "bad.md").write_text(f"is <!-- = absent | x | y --><!-- / --> and {made}\n", encoding="utf-8")
    for arguments, status in (
        (["--check", "good.md"], 1),
        (["good.md"], 0),
        (["--check", "good.md"], 0),
        (["bad.md"], 1),
    ):
        monkeypatch.setattr(sys, "argv", ["fill.py", *arguments])
        assert fill.main() == status
    told = capsys.readouterr()
    assert "differ: good.md" in told.out and "agree" in told.out
    assert told.err == "fill.py: error: bad.md: absent.md is not measured: its marks are left as they are\n"
    made = "<!-- = made | x/y | diff -->-3<!-- / -->"
    assert (page / "bad.md").read_text(encoding="utf-8") == f"is <!-- = absent | x | y --><!-- / --> and {made}\n"
    assert (page / "good.md").read_text(encoding="utf-8") == "is <!-- = made | x/y | diff -->-3<!-- / -->\n"


@pytest.mark.parametrize("name", ["README.md", "INSTRUCTIONS.md"])
def test_files_that_are_named_exist(name: str) -> None:
    """Every word in backquotes that looks like a file of ours is one."""
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w.]+/)*[\w.]+\.(?:py|toml|txt))`", text))
    folders = ("", "code", "data", "lexicons", "writeup/experiments")
    missing = [file for file in named if not any((ROOT / folder / file).exists() for folder in folders)]
    assert named and not missing


def test_every_marker_of_a_task_has_tests() -> None:
    """INSTRUCTIONS.md sends students to these."""
    named = set(re.findall(r"`(task_\w+)`", (ROOT / "INSTRUCTIONS.md").read_text(encoding="utf-8")))
    used = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        used |= set(re.findall(r"pytest\.mark\.(task_\w+)", path.read_text(encoding="utf-8")))
    declared = set(re.findall(r'"(task_\w+):', (ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    assert named == declared == used
