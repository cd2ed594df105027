"""Answers in JSON that breaks parsers. Held: bad_output each time."""

from grader.errors import StudentFault
from grader.results import parse_json

VERDICT = ("bad_output",)
ONCE = True
BOMBS = {
    "deep": b"[" * 500_000,
    "huge number": b'{"answers": ' + b"9" * 500_000 + b"}",
    "infinite": b'{"answers": 1e999}',
    "twice": b'{"answers": 1, "answers": 2}',
    "nan": b'{"answers": NaN}',
    "not UTF-8": b'{"answers": "\xff"}',
    "cut": b'{"answers": [1, 2',
}


def attack(case):
    for name, data in BOMBS.items():
        try:
            parse_json(data)
        except StudentFault as fault:
            case.held(fault.verdict == "bad_output", f"{name}: {fault.verdict}")
        else:
            case.held(False, f"{name}: parsed")
    return "bad_output", ", ".join(BOMBS)
