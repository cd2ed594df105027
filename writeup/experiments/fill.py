"""Put measured tables into documents: `python writeup/experiments/fill.py [--check]`.

What stands in a document between `<!-- BEGIN NAME PART -->` and `<!-- END -->` is replaced by a part of
writeup/results/NAME.md, so that no number in a document is typed by hand. PART is `all`, the number of a
table (from 1), or how a paragraph begins. With --check nothing is written, and the exit status is 1 where they differ.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md",)
MARKED = re.compile(r"(<!-- BEGIN (\w+) (\w+) -->\n).*?(<!-- END -->)", re.DOTALL)


def filled(text: str, results: Path) -> str:
    """The document with the results of today. Raises LookupError where one is missing."""
    return MARKED.sub(lambda m: m[1] + part_of(results / f"{m[2]}.md", m[3]) + "\n" + m[4], text)


def part_of(result: Path, part: str) -> str:
    """All of a result, a table of it by its number, or a paragraph by its beginning."""
    if not result.exists():
        raise LookupError(f"{result.name}: no such result")
    text = result.read_text(encoding="utf-8")
    if part == "all":
        return text.rstrip()
    paragraphs = [paragraph.strip("\n") for paragraph in text.split("\n\n")]
    tables = [paragraph for paragraph in paragraphs if paragraph.startswith("|")]
    if part.isdecimal() and 1 <= int(part) <= len(tables):
        return tables[int(part) - 1]
    for paragraph in paragraphs:
        if paragraph.startswith(part):
            return paragraph
    raise LookupError(f"{result.name}: no part {part!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only tell whether documents and results agree")
    args = parser.parse_args()
    different = []
    for name in DOCUMENTS:
        path = ROOT / name
        old = path.read_text(encoding="utf-8")
        new = filled(old, ROOT / "writeup" / "results")
        if new != old:
            different.append(name)
            if not args.check:
                path.write_text(new, encoding="utf-8")
    print("differ: " + " ".join(different) if different else "documents and results agree")
    return 1 if args.check and different else 0


if __name__ == "__main__":
    sys.exit(main())
