"""System calls that lead out of a sandbox. Held: refused."""

from pathlib import Path

from grader.sandbox import probes

VERDICT = ("ok",)


def attack(case):
    inside = Path(probes.INSIDE).read_text(encoding="utf-8")
    code = (
        "import probe_inside as p\nfor act in (p.system_calls, p.foreign_calls, p.set_id): print('CLOSED', act({}))\n"
    )
    ran = case.run(code, {"probe_inside.py": inside})
    case.held(ran.log.count("CLOSED (True,") == 3, ran.log)
    return ran.outcome.verdict, "EPERM; foreign calls end the process"
