"""A hand-out that does not run. Held: it imports, its tests fail only for what is to be written."""

import tempfile
from pathlib import Path

from grader import handout, proofs

VERDICT = ("ok",)
ONCE = True


def attack(case):
    with tempfile.TemporaryDirectory(prefix="neuralization-handout-") as folder:
        built = handout.build(Path(folder, "handout"))
        said = [proof(built.folder) for proof in (proofs.imports, proofs.holes, proofs.tests_before)]
    return "ok", "; ".join(said)
