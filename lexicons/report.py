"""What is in the lexicon files: the tables of README.md beside this file, measured.

    python lexicons/report.py [--corpora FOLDER ...] [--write]

Prints, in markdown: how each lexicon was trained (the settings in train.py); its rows, dimensions and size; which
share of the tokens and of the types of ensup, endev and enraw has a row; the nearest neighbours of some words. ewtsup,
ewtdev, twsup and twdev are covered too where they are in data/ (fetched treebanks) or in a --corpora folder.
--write puts the tables into README.md, between the lines that mark their place. Whatever *-*.txt is here is reported.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
sys.path.insert(0, str(ROOT / "code"))

import torch  # noqa: E402

from corpus import read_corpus  # noqa: E402
from word_features import look_up  # noqa: E402
from word_vectors import SPECIAL_ROWS, WordVectors, read_lexicon  # noqa: E402

README = FOLDER / "README.md"
BEGIN, END = "<!-- report -->", "<!-- /report -->"
CORPORA = ("ensup", "endev", "enraw")
FETCHED = ("ewtsup", "ewtdev", "twsup", "twdev")
PROBES = ("Paris", "she", "quickly", "running", "blue", "seven", "would", "because", "bank", "happier")
NEIGHBOURS_IN = ("words-50", "syntax-50")
ALGORITHM = {0: "CBOW", 1: "skip-gram"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", nargs="+", type=Path, default=[], metavar="FOLDER", help="more places for corpora")
    parser.add_argument("--write", action="store_true", help="put the tables into lexicons/README.md")
    args = parser.parse_args(arguments)
    paths = lexicon_files()
    if not paths:
        sys.exit(f"report.py: error: no lexicon file in {FOLDER.name}/")
    text = report(paths, find_corpora([ROOT / "data", *args.corpora]))
    if args.write:
        README.write_text(with_report(README.read_text(encoding="utf-8"), text), encoding="utf-8", newline="\n")
    else:
        print(text, end="")
    return 0


def lexicon_files() -> list[Path]:
    """The lexicons that are here: those of train.py in its order, then any other."""
    order = list(settings())
    known = [FOLDER / f"{name}.txt" for name in order if (FOLDER / f"{name}.txt").exists()]
    return known + sorted(path for path in FOLDER.glob("*-*.txt") if path not in known)


def find_corpora(folders: Sequence[Path]) -> dict[str, Path]:
    """Each corpus by name, in the first folder that has it; says which are nowhere."""
    found = {}
    for name in (*CORPORA, *FETCHED):
        path = next((folder / name for folder in folders if (folder / name).exists()), None)
        if path is None:
            print(f"report.py: {name} is not there, its coverage is left out", file=sys.stderr)
        else:
            found[name] = path
    return found


def report(paths: Sequence[Path], corpora: dict[str, Path]) -> str:
    """All tables."""
    lexicons = {path.stem: read_lexicon(path) for path in paths}
    parts = [
        "### How they were trained\n\n", settings_table(),
        "\n### Files\n\n", files_table(paths, lexicons),
        "\n### Coverage\n\nShares of tokens and of types (distinct spellings) that have a row: as they are spelled, "
        "and as the course looks them up, that is, failing this, in lower case.\n\n",
        coverage_table(lexicons, corpora),
        "\n### Nearest neighbours\n\nThe five nearest by cosine.\n\n", neighbours_table(lexicons),
    ]  # fmt: skip
    return "".join(parts)


def with_report(readme: str, text: str) -> str:
    """The page with this text between the marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.exit(f"report.py: error: {README.name} has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


# The tables


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A markdown table; the first `left` columns are set left, the others right."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "".join("| " + " | ".join(line) + " |\n" for line in (header, rule, *rows))


def settings() -> dict[str, dict[str, Any]]:
    """LEXICONS of train.py, read and not run: to import it takes the extra `lexicons`."""
    tree = ast.parse((FOLDER / "train.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == "LEXICONS":
            return {
                ast.literal_eval(name): {word.arg: ast.literal_eval(word.value) for word in call.keywords}
                for name, call in zip(statement.value.keys, statement.value.values)
            }
    raise ValueError("train.py assigns no LEXICONS")


def settings_table() -> str:
    rows = [
        (f"`{name}`", ALGORITHM[of["sg"]], *(str(of[key]) for key in ("vector_size", "window", "alpha", "epochs")))
        for name, of in settings().items()
    ]
    return table(("lexicon", "word2vec", "dimensions", "window", "learning rate at first", "epochs"), rows, left=2)


def files_table(paths: Sequence[Path], lexicons: dict[str, WordVectors]) -> str:
    rows = []
    for path in paths:
        count, dims = lexicons[path.stem].matrix.shape
        rows.append((f"`{path.name}`", f"{count:,}", str(dims), f"{path.stat().st_size:,}"))
    return table(("file", "rows", "dimensions", "bytes"), rows, left=1)


def coverage_table(lexicons: dict[str, WordVectors], corpora: dict[str, Path]) -> str:
    """One block for each distinct vocabulary; ours all have the same."""
    by_vocabulary: dict[frozenset[str], list[str]] = {}
    for name, vectors in lexicons.items():
        by_vocabulary.setdefault(frozenset(vectors.words), []).append(name)
    rows = []
    for vocabulary, names in by_vocabulary.items():
        index = dict.fromkeys(vocabulary - set(SPECIAL_ROWS), True)
        for corpus, path in corpora.items():
            counts = Counter(word for sentence in read_corpus(path) for word in sentence.words)
            rows.append((", ".join(f"`{name}`" for name in names), f"`{corpus}`", *coverage(counts, index)))
    header = ("lexicon", "corpus", "tokens", "as spelled", "looked up", "types", "as spelled", "looked up")
    return table(header, rows, left=2)


def coverage(counts: Counter[str], index: dict[str, bool]) -> list[str]:
    """Number of tokens, shares of them as spelled and as looked up; the same of types."""
    cells = []
    for weight in (counts, dict.fromkeys(counts, 1)):
        total = sum(weight.values())
        spelled = sum(weight[word] for word in counts if word in index)
        looked_up = sum(weight[word] for word in counts if look_up(word, index))
        cells += [f"{total:,}", f"{spelled / total:.1%}", f"{looked_up / total:.1%}"]
    return cells


def neighbours_table(lexicons: dict[str, WordVectors]) -> str:
    names = [name for name in NEIGHBOURS_IN if name in lexicons]
    columns = [neighbours(lexicons[name]) for name in names]
    rows = [(probe, *(", ".join(column[probe]) or "(no row)" for column in columns)) for probe in PROBES]
    return table(("word", *(f"`{name}`" for name in names)), rows, left=1 + len(names))


def neighbours(vectors: WordVectors, count: int = 5) -> dict[str, list[str]]:
    """The words nearest to each probe, itself left out; none for a probe without a row."""
    index = {word: row for row, word in enumerate(vectors.words)}
    matrix = torch.nn.functional.normalize(vectors.matrix, dim=1)
    found = {}
    for probe in PROBES:
        row = look_up(probe, index)
        similarity = torch.zeros(0) if row is None else matrix @ matrix[row]
        nearest = similarity.argsort(descending=True)[: count + 1].tolist()
        found[probe] = [f"`{vectors.words[other]}`" for other in nearest if other != row][:count]
    return found


if __name__ == "__main__":
    sys.exit(main())
