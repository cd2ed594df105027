"""Walks frames, objects and modules for labels or the reference. Held: none are in the process."""

from grader.attacks.case import when_tagging

VERDICT = ("ok",)
CODE = when_tagging("""
import gc, inspect
names = sorted(sys.modules)
print("MODULES", [n for n in names if n.split(".")[0] in ("grader", "chain", "crf", "hmm", "torch_struct", "seqeval")])
print("FRAMES", [f.filename for f in inspect.stack()][1:])
print("OBJECTS", [o for o in gc.get_objects() if isinstance(o, dict) and "gold" in o][:3])
""")


def attack(case):
    result = case.grade({"code/tag.py": CODE})
    log = result["staff"]
    case.held("MODULES []" in log and "OBJECTS []" in log and "FRAMES []" in log, log[-300:])
    return result["verdict"], "no module, frame or object of the grader's"
