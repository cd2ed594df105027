"""Returns objects that equal everything. Held: only plain data crosses the border."""

from grader.attacks import units

VERDICT = ("wrong_answer", "crash", "bad_output")
CODE = """
import torch
class Any(float):
    def __eq__(self, other): return True
    __ne__ = __lt__ = __gt__ = lambda self, other: False
    __le__ = __ge__ = __eq__
    __hash__ = float.__hash__
    def __sub__(self, other): return 0.0
    __rsub__ = __abs__ = lambda self, *a: 0.0
class AnyTensor(torch.Tensor):
    def __eq__(self, other): return True
    def tolist(self): return Any(0)
def logsumexp_safe(x, dim): return (x * 0).sum(dim).as_subclass(AnyTensor)
def logaddexp_safe(x, y): return (x * 0 + y * 0).as_subclass(AnyTensor)
"""


def attack(case):
    result = units.grade(case, CODE)
    case.held(set(result["points"].values()) == {0.0}, f"points {result['points']}")
    return result["verdict"], "numbers only, and they are wrong"
