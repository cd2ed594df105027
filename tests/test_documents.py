"""What the documents say is what the scripts printed, and what they name exists."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "writeup" / "experiments"))

import fill  # noqa: E402


@pytest.mark.parametrize("name", fill.DOCUMENTS)
def test_tables_are_the_results(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert fill.MARKED.search(text), "no table in it"
    assert fill.filled(text, ROOT / "writeup" / "results") == text


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
