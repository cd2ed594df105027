"""writeup/experiments/grader_speed.py at its quick size: all parts are measured, and its page says what came out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_quick_run(tmp_path: Path) -> None:
    script = ROOT / "writeup" / "experiments" / "grader_speed.py"
    command = [sys.executable, str(script), "--quick", "--out", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    result = json.loads((tmp_path / "results" / "grader.json").read_text(encoding="utf-8"))
    page = (tmp_path / "results" / "grader.md").read_text(encoding="utf-8")
    levels = {"A", "B", "C"} - set(result["refused"])
    assert set(result["start_up"]) == {"bare", *levels} and all(x > 0 for x in result["start_up"].values())
    assert "A quick run" in page and all(f"| {level} | " in page for level in levels)
    assert (result["batch"] is not None) == bool(levels)
    if levels:
        batch = result["batch"]
        gains = [of["1"] / of["2"] for of in (batch["seconds"]["graded"], batch["seconds"]["bare"])]
        assert batch["kept"] == gains[0] / gains[1] and f"keeps {batch['kept']:.2f} of the gain" in page
