"""kill -9 of the grader at any moment. Held: what is finished stays, the rest is graded again, no half file."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from grader.attacks.case import HERE, MAJORITY, ROOT

VERDICT = ("ok",)
KILLS = 4


def attack(case):
    draw = random.Random(1)
    with tempfile.TemporaryDirectory(prefix="neuralization-batch-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        (folder / "tmp").mkdir(mode=0o711)  # what a killed grader leaves there is removed with it
        for student in range(3):
            (folder / "in" / f"s{student}").mkdir(parents=True)
            (folder / "in" / f"s{student}" / "tag.py").write_text(MAJORITY)
        program = f"""
from pathlib import Path
from grader.assignment import load_assignment
from grader.grade import grade_submission
from grader.results import finished, read_result
from grader.sandbox.confined import Confined
assignment = load_assignment({str(HERE / "toy.toml")!r}, Path({str(case.assignment.folder)!r}))
for path in sorted(Path({str(folder / "in")!r}).iterdir()):
    out = Path({str(folder / "out")!r}, path.name)
    if not finished(read_result(out / "result.json")):
        grade_submission(path, assignment, Confined({case.sandbox.name!r}), out, profile="quick")
print("all done")
"""
        environment = {**os.environ, "TMPDIR": str(folder / "tmp")}
        kept: dict[str, str] = {}
        for kill in range(KILLS + 1):
            process = subprocess.Popen(
                [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
            )
            if kill < KILLS:
                time.sleep(draw.uniform(0.4, 2.0))
                process.send_signal(signal.SIGKILL)
            said = process.communicate()[0]
            for path in sorted(folder.glob("out/*/result.json")):
                text = path.read_text()
                result = json.loads(text)  # a half file would not parse
                case.held(kept.get(path.parent.name, text) == text, f"{path.parent.name}: graded twice")
                if result["finished"] and result["score"] is not None:
                    kept[path.parent.name] = text
        case.held("all done" in said and len(kept) == 3, f"{len(kept)} of 3 are finished")
        case.held(len({json.loads(text)["score"] for text in kept.values()}) == 1, "equal submissions, other scores")
    return "ok", f"killed {KILLS} times: nothing lost, nothing twice, no half file"
