"""Makes its output a FIFO, a folder or a socket. Held: no hang, refused."""

from grader.attacks.case import MAJORITY

VERDICT = ("bad_output",)
MAKE = {"fifo": "os.mkfifo(OUT)", "folder": "os.mkdir(OUT)", "device": "os.symlink('/dev/zero', OUT)"}


def attack(case):
    for kind, make in MAKE.items():
        code = (
            f"import os, sys\nif '--untagged' in sys.argv:\n    OUT = sys.argv[-1]\n    {make}\n    os._exit(0)\n"
            + MAJORITY
        )
        code = code.replace("from __future__ import annotations", "")
        result = case.grade({"code/tag.py": code})
        case.held(result["verdict"] == "bad_output" and result["score"] <= 10, f"{kind}: {result['verdict']}")
    return result["verdict"], "read without waiting, refused"
