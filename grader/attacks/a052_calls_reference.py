"""Imports the reference solution of this repository. Held: it cannot be found or opened."""

from grader.attacks.case import ROOT

VERDICT = ("ok",)


def attack(case):
    ran = case.run(f"""
        import sys
        sys.path[:0] = [{str(ROOT / "code")!r}, {str(ROOT)!r}, {str(ROOT / "tests")!r}]
        for name in ("chain_fast", "crf_neural", "grader.expected", "literal_networks"):
            try: __import__(name); print("IMPORTED", name)
            except (ImportError, OSError) as problem: print("closed", problem)
        try: print("READ", open({str(ROOT / "code" / "chain.py")!r}).read(20))
        except OSError: print("closed")
    """)
    case.held("IMPORTED" not in ran.log and "READ" not in ran.log and ran.log.count("closed") == 5, ran.log)
    return ran.outcome.verdict, "neither imported nor read"
