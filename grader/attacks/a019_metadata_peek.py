"""Reads the platform's metadata, with e-mails and old results. Held: out of reach."""

import tempfile
from pathlib import Path

VERDICT = ("ok",)


def attack(case):
    with tempfile.TemporaryDirectory(prefix="neuralization-platform-") as folder:
        path = Path(folder, "submission_metadata.json")
        path.write_text('{"users": [{"email": "someone@example.org"}]}')
        case.sandbox.hide(Path(folder))
        code = f"""
            for path in ({str(path)!r}, "/autograder/submission_metadata.json", "/autograder/results/results.json"):
                try: print("READ", open(path).read())
                except OSError as problem: print("closed", problem.errno)
        """
        ran = case.run(code)
    case.held("READ" not in ran.log and ran.log.count("closed") == 3, ran.log)
    return ran.outcome.verdict, "closed"
