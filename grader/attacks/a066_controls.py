"""Controls: reference, empty hand-out and majority, graded in the sandbox. Held: each gets what is stated."""

import shutil
import tempfile
from pathlib import Path

from grader import handout, proofs

VERDICT = ("ok",)
ONCE = True


def attack(case):
    with tempfile.TemporaryDirectory(prefix="neuralization-controls-") as folder:
        built = handout.build(Path(folder, "handout"))
        solved = Path(folder, "solved")
        shutil.copytree(built.folder, solved)
        for name in built.stripped:
            shutil.copyfile(handout.ROOT / name, solved / name)
        gradings = proofs.Gradings(Path(folder), "quick", sandbox=case.sandbox)
        said = [gradings.reference(solved), gradings.empty(built.folder), gradings.majority()]
    return "ok", f"reference {said[0]}; empty hand-out {said[1]}; majority {said[2]}"
