"""The shipped lexicon files: readable, small enough, of one vocabulary; and the report that README.md shows of them."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from pathlib import Path

import pytest
import torch

from word_vectors import SPECIAL_ROWS, WordVectors, read_lexicon

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "lexicons"
FILES = sorted(FOLDER.glob("*-*.txt"))
LARGEST_FILE, MOST_ROWS = 12_000_000, 36_000
COPIES = [
    ("(", "-LRB-"), (")", "-RRB-"), ("[", "-LSB-"), ("]", "-RSB-"), ("{", "-LCB-"), ("}", "-RCB-"),
    ('"', "''"), ("“", "``"), ("”", "''"), ("’", "'"), ("—", "--"), ("–", "--"), ("…", "..."),
]  # fmt: skip

of_each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def load_report():
    spec = importlib.util.spec_from_file_location("lexicon_report", FOLDER / "report.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


report = load_report()


@pytest.fixture(scope="module")
def lexicons() -> dict[Path, WordVectors]:
    return {path: read_lexicon(path) for path in FILES}


# The files


def test_the_lexicon_of_the_examples_is_shipped():
    assert FOLDER / "words-50.txt" in FILES


@of_each_file
def test_rows_and_dimensions_are_as_promised(path: Path, lexicons: dict[Path, WordVectors]):
    with path.open(encoding="utf-8") as file:
        rows, dims = map(int, file.readline().split())
    vectors = lexicons[path]
    # as many as the file has: no row is there twice, and none of the special ones had to be made up
    assert (len(vectors.words), tuple(vectors.matrix.shape)) == (rows, (rows, dims))
    assert set(SPECIAL_ROWS) <= set(vectors.words)
    assert rows <= MOST_ROWS
    assert dims == int(path.stem.rpartition("-")[2])
    assert path.stat().st_size <= LARGEST_FILE


@of_each_file
def test_vectors_are_scaled_and_special_rows_trained(path: Path, lexicons: dict[Path, WordVectors]):
    vectors = lexicons[path]
    assert vectors.matrix.square().mean().item() == pytest.approx(1.0, abs=0.02)
    special = torch.stack([vectors.matrix[vectors.words.index(word)] for word in SPECIAL_ROWS])
    assert len(special.unique(dim=0)) == 3
    # what read_lexicon makes up is the mean of all rows, nearly 0; a trained row is as long as others
    assert (special.square().mean(dim=1) > 0.05).all()


@of_each_file
def test_other_spellings_of_brackets_and_quotes_are_copies(path: Path, lexicons: dict[Path, WordVectors]):
    vectors = lexicons[path]
    index = {word: row for row, word in enumerate(vectors.words)}
    for one, other in COPIES:
        assert vectors.matrix[index[one]].equal(vectors.matrix[index[other]]), f"{one} and {other} differ"


def test_all_files_have_the_same_rows(lexicons: dict[Path, WordVectors]):
    first, *others = lexicons.values()
    for path, other in zip(FILES[1:], others):
        assert set(other.words) == set(first.words), f"{path.name} has other words than {FILES[0].name}"


# The report


def test_readme_tells_of_the_files_that_are_here(lexicons: dict[Path, WordVectors]):
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    paths = report.lexicon_files()
    assert sorted(paths) == FILES
    assert report.settings_table() in readme
    table = report.files_table(paths, {path.stem: lexicons[path] for path in paths})
    assert table in readme, "run python lexicons/report.py --write"


def test_settings_are_read_from_the_training_script():
    settings = report.settings()
    assert set(settings) == {"words-50", "syntax-50", "words-20", "words-10"}
    assert all(of["vector_size"] == int(name.rpartition("-")[2]) for name, of in settings.items())


def test_coverage_by_hand():
    counts = Counter({"The": 3, "Paris": 1, "paris": 1, "xyzzy": 5})
    assert report.coverage(counts, {"the": True, "Paris": True}) == ["10", "10.0%", "40.0%", "4", "25.0%", "50.0%"]


def test_neighbours_by_hand():
    words = ["east", "Paris", "far", "bank", "near"]
    matrix = torch.tensor([[0.0, 1.0], [2.0, 0.0], [-1.0, 0.0], [1.0, 1.0], [9.0, 1.0]])
    found = report.neighbours(WordVectors(words, matrix), count=2)
    assert found["Paris"] == ["`near`", "`bank`"]
    assert found["she"] == []


def test_a_vocabulary_of_its_own_gets_rows_of_its_own(tmp_path: Path):
    (tmp_path / "endev").write_text("The/D bird/N sings/V\n", encoding="utf-8")
    same = [WordVectors([*words, "OOL", "BOS", "EOS"], torch.zeros(len(words) + 3, 1)) for words in (["the"], ["the"])]
    other = WordVectors(["bird", "sings", "OOL", "BOS", "EOS"], torch.zeros(5, 1))
    corpora = {"endev": tmp_path / "endev"}
    table = report.coverage_table(dict(zip(("a", "b", "c"), (*same, other))), corpora)
    assert table.splitlines()[2:] == [
        "| `a`, `b` | `endev` | 3 | 0.0% | 33.3% | 3 | 0.0% | 33.3% |",
        "| `c` | `endev` | 3 | 66.7% | 66.7% | 3 | 66.7% | 66.7% |",
    ]


def test_writing_replaces_what_is_between_the_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lexicon = tmp_path / "small-2.txt"
    lexicon.write_text("4 2\nOOL\t1\t2\nParis\t1\t0\nBOS\t0\t1\nEOS\t1\t1\n", encoding="utf-8")
    (tmp_path / "train.py").write_text((FOLDER / "train.py").read_text(encoding="utf-8"), encoding="utf-8")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    monkeypatch.setattr(report, "README", readme)
    assert report.main(["--write"]) == 0
    written = readme.read_text(encoding="utf-8")
    assert report.main(["--write"]) == 0
    assert readme.read_text(encoding="utf-8") == written
    assert re.fullmatch(rf"before\n{report.BEGIN}\n.*\n{report.END}\nafter\n", written, re.DOTALL)
    assert "old" not in written
    assert f"| `small-2.txt` | 4 | 2 | {lexicon.stat().st_size} |" in written
    for name in report.CORPORA:
        assert f"| `small-2` | `{name}` |" in written


def test_a_page_without_marks_is_refused():
    with pytest.raises(SystemExit, match="has no lines"):
        report.with_report("no marks", "text")
