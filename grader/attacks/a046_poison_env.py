"""Edits the interpreter's packages. Held: read-only."""

VERDICT = ("ok",)
CODE = """
import os, shutil, sys, sysconfig
for folder in {sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), os.path.dirname(os.__file__)}:
    for name in ("poison-of-46.pth", "poison-of-46.py"):
        try: open(os.path.join(folder, name), "w").close(); print("WROTE", folder)
        except OSError: pass
try: open(os.__file__, "a").close(); print("WROTE os")
except OSError: print("closed")
"""


def attack(case):
    ran = case.run(CODE)
    case.held("WROTE" not in ran.log and "closed" in ran.log, ran.log)
    return ran.outcome.verdict, "read-only"
