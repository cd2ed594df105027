"""Put measured tables and numbers into documents: `python writeup/experiments/fill.py [--check] [DOCUMENT ...]`.

So that no number in a document is typed by hand, these marks are filled from writeup/results/NAME.md:

- Lines between `<!-- BEGIN NAME PART -->` and `<!-- END -->` are replaced by a part. PART is `all`, the number of a
  table (from 1), how a paragraph begins, or `#` and how a heading begins: the first table below it. ` | COLUMNS` after
  a table keeps only these, in this order; ` | ROWS` after that keeps only these rows.
- In a line, what stands between `<!-- = NAME TABLE | ROW | COLUMN -->` and `<!-- / -->` is replaced by one cell. TABLE
  is as above; it may be left out where one table of the page has such a cell. ` | mean` leaves out what follows `±`.
  Such a mark never begins a line: there Markdown takes it for the beginning of a block.

`;` separates columns, and rows. A column is named by how its head begins; a row by its first cell, or by its first
cells with ` / ` between them; `*` and `?` stand for any characters. A cell must be found once. With --check nothing is
written, and the exit status is 1 where documents and results differ.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "writeup" / "results"
DOCUMENTS = ("README.md", "writeup/answers.md")
MARKED = re.compile(r"(<!-- BEGIN (\w+) ([^\n]+?) -->\n).*?(<!-- END -->)", re.DOTALL)
CELL = re.compile(r"(<!-- = (\w+)(?: ([^|\n]+?))? \| ([^\n]+?) -->)[^\n]*?(<!-- / -->)")


def filled(text: str, results: Path, unmeasured: Collection[str] = ()) -> str:
    """The document with the results of today, marks of unmeasured pages left as they are.

    Raises:
        LookupError: another result is missing.
    """

    def fill(pattern: re.Pattern[str], made: Callable[[re.Match[str]], str]) -> str:
        return pattern.sub(lambda m: m[0] if m[2] in unmeasured else made(m), text)

    text = fill(MARKED, lambda m: m[1] + part_of(results / f"{m[2]}.md", m[3]) + "\n" + m[4])
    return fill(CELL, lambda m: m[1] + cell_of(results / f"{m[2]}.md", m[3], m[4]) + m[5])


def unmeasured_pages(text: str, results: Path) -> list[str]:
    """The pages that the document has marks of, and that are not there."""
    pages = {mark[2] for pattern in (MARKED, CELL) for mark in pattern.finditer(text)}
    return [page for page in sorted(pages) if not (results / f"{page}.md").exists()]


def without_marks(text: str) -> str:
    """The document without what is filled in: what somebody typed."""
    return CELL.sub("", MARKED.sub("", text))


@dataclass(frozen=True)
class Table:
    """A table of a page: the heading above it, its header, its rule and its rows, a list of cells each."""

    heading: str
    header: list[str]
    rule: list[str]
    rows: list[list[str]]

    def __str__(self) -> str:
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (self.header, self.rule, *self.rows))

    def column(self, name: str) -> int | None:
        """The number of the column of this name, or else of the first whose name begins so."""
        exact = [number for number, head in enumerate(self.header) if head == name]
        begun = [number for number, head in enumerate(self.header) if head.startswith(name)]
        return next(iter(exact + begun), None)

    def matching(self, pattern: str) -> list[list[str]]:
        """The rows whose first cells are these."""
        parts = [part.replace("[", "[[]") for part in pattern.split(" / ")]
        return [row for row in self.rows if len(row) >= len(parts) and all(map(fnmatchcase, row, parts))]


def tables_of(text: str) -> Iterator[Table]:
    heading = ""
    for paragraph in re.split(r"\n{2,}", text):
        lines = paragraph.strip("\n").splitlines()
        if lines and lines[0].startswith("#"):
            heading = lines[0]
        elif lines and lines[0].startswith("|"):
            header, rule, *rows = (
                re.split(r" \| ", line.strip().removeprefix("| ").removesuffix(" |")) for line in lines
            )
            yield Table(heading, header, rule, [[cell.strip() for cell in row] for row in rows])


def part_of(result: Path, part: str) -> str:
    """All of a result, a table of it or some of its rows and columns, or a paragraph by its beginning."""
    text = read(result)
    if part == "all":
        return text.rstrip()
    name, *choices = part.split(" | ")
    if table := table_of(list(tables_of(text)), name):
        return str(chosen(table, *choices, where=result.name))
    for paragraph in text.split("\n\n"):
        if paragraph.strip("\n").startswith(part):
            return paragraph.strip("\n")
    raise LookupError(f"{result.name}: no part {part!r}")


def read(result: Path) -> str:
    if not result.exists():
        raise LookupError(f"{result.name}: no such result")
    return result.read_text(encoding="utf-8")


def table_of(tables: list[Table], name: str) -> Table | None:
    """By its number, or by how the heading above it begins."""
    if name.isdecimal():
        return tables[int(name) - 1] if 1 <= int(name) <= len(tables) else None
    if not name.startswith("#"):
        return None
    return next((table for table in tables if table.heading.lstrip("# ").startswith(name.lstrip("# "))), None)


def chosen(table: Table, columns: str = "", rows: str = "", *, where: str) -> Table:
    """Some columns and rows of a table, all where none are named."""
    kept = table.rows
    if rows.strip():
        kept = []
        for pattern in map(str.strip, rows.split(";")):
            found = table.matching(pattern)
            if not found:
                raise LookupError(f"{where}: no row {pattern!r}")
            kept += [row for row in found if row not in kept]
    numbers = list(range(len(table.header)))
    if columns.strip():
        numbers = []
        for name in map(str.strip, columns.split(";")):
            if (number := table.column(name)) is None:
                raise LookupError(f"{where}: no column {name!r}")
            numbers.append(number)
    header, rule, *rest = ([cells[number] for number in numbers] for cells in (table.header, table.rule, *kept))
    return Table(table.heading, header, rule, rest)


def cell_of(result: Path, table_name: str | None, path: str) -> str:
    """One cell, by its row and column."""
    row, column, *rest = (part.strip() for part in path.split(" | "))
    tables = list(tables_of(read(result)))
    if table_name:
        tables = [table for table in [table_of(tables, table_name)] if table]
    cells = [
        found[number]
        for table in tables
        if (number := table.column(column)) is not None
        for found in table.matching(row)
    ]
    if len(cells) != 1 or rest not in ([], ["mean"]):
        raise LookupError(f"{result.name}: {len(cells)} cells {path!r}")
    return cells[0].partition(" ± ")[0] if rest else cells[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell whether documents and results agree")
    parser.add_argument("documents", nargs="*", default=DOCUMENTS, metavar="DOCUMENT", help=", ".join(DOCUMENTS))
    args = parser.parse_args()
    different, missing = [], []
    for name in args.documents:
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        unmeasured = unmeasured_pages(old, RESULTS)
        missing += [f"{name}: {page}.md is not measured: its marks are left as they are" for page in unmeasured]
        try:
            new = filled(old, RESULTS, unmeasured)
        except LookupError as error:
            missing.append(f"{name}: {error.args[0]}")
            continue
        if new != old:
            different.append(name)
            if not args.check:
                path.write_text(new, encoding="utf-8", newline="\n")
    for line in missing:
        print(f"fill.py: error: {line}", file=sys.stderr)
    if not missing:
        print("differ: " + " ".join(different) if different else "documents and results agree")
    return 1 if missing or (args.check and different) else 0


if __name__ == "__main__":
    sys.exit(main())
