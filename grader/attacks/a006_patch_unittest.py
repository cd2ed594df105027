"""Replaces comparisons of unittest, torch and json, and answers zeros. Held: the comparison is in another process."""

from grader.attacks import units

VERDICT = ("wrong_answer", "crash", "bad_output")
CODE = """
import builtins, json, math, torch, unittest
unittest.TestCase.assertEqual = lambda *a, **k: None
torch.allclose = torch.equal = lambda *a, **k: True
torch.testing.assert_close = lambda *a, **k: None
math.isclose = lambda *a, **k: True
builtins.all = builtins.any = lambda *a: True
def logsumexp_safe(x, dim): return (x * 0).sum(dim)
def logaddexp_safe(x, y): return x * 0 + y * 0
dump = json.dumps
json.dumps = lambda value, **k: dump({"answers": [{"ok": True, "score": 1}], "passed": True})
json.dump = lambda value, file, **k: file.write(json.dumps(value))
"""


def attack(case):
    result = units.grade(case, CODE)
    case.held(set(result["points"].values()) == {0.0}, f"points {result['points']}")
    return result["verdict"], "no points"
