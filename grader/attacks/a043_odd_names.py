"""Names with newlines, direction marks, leading dashes, 300 letters, formulas. Held: refused or harmless."""

import tempfile
from pathlib import Path

from grader.attacks.a042_zip_slip import zipped
from grader.attacks.case import MAJORITY
from grader.grade_many import as_cell

VERDICT = ("violation",)
REFUSED = ("code/new\nline.py", "code/\u202ecod.py", "code/" + "x" * 300 + ".py")


def attack(case):
    with tempfile.TemporaryDirectory(prefix="neuralization-archives-") as folder:
        for number, name in enumerate(REFUSED):
            path = Path(folder, f"{number}.zip")
            path.write_bytes(zipped("code/tag.py", name))
            result = case.grade_path(path)
            case.held(result["verdict"] == "violation", f"{name!r}: {result['verdict']}")
    harmless = case.grade({"code/tag.py": MAJORITY, "code/--help.py": "", "code/=cmd().py": "", "code/a b;rm.py": ""})
    case.held(harmless["score"] == case.honest, f"harmless names: {harmless['score']}")
    for cell in ("=cmd()", "+1+cmd", "@x", "-x()", "\t=x", " =x", "|x"):
        case.held(
            as_cell(cell).startswith("'") or not as_cell(cell)[:1].strip("\ufffd"), f"a live cell: {as_cell(cell)!r}"
        )
    return result["verdict"], f"{len(REFUSED)} refused, the others harmless; no formula in the table is live"
