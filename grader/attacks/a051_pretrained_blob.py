"""Ships large weights, or files of other kinds. Held: a limit on size, a list of what is taken."""

import secrets

from grader.attacks.case import MAJORITY

VERDICT = ("violation",)


def attack(case):
    small = case.grade(
        {"code/tag.py": MAJORITY, "code/weights.bin": secrets.token_bytes(1000), "code/x.so": b"\x7fELF"}
    )
    case.held(sorted(small["files"]["left_out"]) == ["code/weights.bin", "code/x.so"], str(small["files"]))
    case.held(small["score"] == case.honest, f"score {small['score']}")
    large = case.grade({"code/tag.py": MAJORITY, "models/weights.bin": secrets.token_bytes(5 << 20)})
    case.held(large["score"] == 0, f"score {large['score']}")
    return large["verdict"], "too large is refused, other kinds are left out"
