"""A small model file that unpacks to terabytes. Held: the grader passes its bytes on and looks at their number only."""

import io
import resource
import zipfile

VERDICT = ("ok", "bad_output")


def attack(case):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(
            "data.npy",
            b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}"
            + bytes(50_000_000),
        )
    code = f"""
import sys
if "--save" in sys.argv: open(sys.argv[-1], "wb").write(bytes.fromhex({data.getvalue().hex()!r}))
else: open(sys.argv[-1], "w").write("".join(" ".join(w + "/D" for w in l.split()) + "\\n" for l in open(sys.argv[1])))
"""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = case.grade({"code/tag.py": code})
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    case.held(grown < 400_000, f"the grader grew by {grown} kB")
    case.held(result["score"] < case.honest, f"score {result['score']}")
    return result["verdict"], "not opened"
