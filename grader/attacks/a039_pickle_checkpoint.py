"""Its model is a pickle that runs code where it is opened. Held: the grader never opens it."""

import tempfile
from pathlib import Path

VERDICT = ("ok",)


def attack(case):
    mark = Path(tempfile.gettempdir(), f"neuralization-unpickled-{id(case)}")
    code = f"""
import json, os, pickle, sys
from collections import Counter
class Payload:
    def __reduce__(self): return (os.system, ({f"touch {mark}"!r},))
if "--save" in sys.argv:
    open(sys.argv[-1], "wb").write(pickle.dumps(Payload()))
else:
    model = pickle.load(open("graded.model", "rb"))
    lines = open(sys.argv[1]).read().splitlines()
    open(sys.argv[-1], "w").write("".join(" ".join(w + "/D" for w in line.split()) + "\\n" for line in lines))
"""
    result = case.grade(
        {"code/tag.py": code, "models/x.pkl": b"\x80\x04cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR."}
    )
    case.held(not mark.exists(), "the payload ran outside")
    return result["verdict"], "opened by the student's own code only, in the sandbox"
