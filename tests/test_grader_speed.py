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
    result = result["sandbox"]
    levels = {"A", "B", "C"} - set(result["refused"])
    assert set(result["start_up"]) == {"bare", *levels} and all(x > 0 for x in result["start_up"].values())
    assert "A quick run" in page and all(f"| {level} | " in page for level in levels)
    assert (result["batch"] is not None) == bool(levels)
    if levels:
        batch = result["batch"]
        gains = [of["1"] / of["2"] for of in (batch["seconds"]["graded"], batch["seconds"]["bare"])]
        assert batch["kept"] == gains[0] / gains[1] and f"keeps {batch['kept']:.2f} of the gain" in page


def test_the_page_of_the_reference() -> None:
    """Seconds, memory, distance to full points of a made result; it fits by what it computes, not by the load."""
    sys.path.insert(0, str(ROOT / "writeup" / "experiments"))
    from grader_reference import PAGES

    stage = dict(name="training", verdict="ok", points=10, max_points=10, seconds=1200.0, cpu_seconds=700.0,
                 peak_memory=600e6)  # fmt: skip
    found = dict(
        machine=dict(cpu="x", cores=2, system="Linux", python="3", torch="2", torch_threads=1), load_before=1.0,
        load_after=2.0, quick=False, level="A", score=100.0, budget={}, rubric=[[0.9, 0], [0.95, 1]],
        stages=[stage], accuracies={"entest": [0.96, 0.97]}, seconds=1210.0, shown_score=100.0,
    )  # fmt: skip
    page = PAGES["gradescope"](found)
    assert "| training | 10 of 10 | 1200 | 700 | 600 |" in page
    assert "mean 96.50, standard deviation 0.71" in page and "from 95.0 % on, 1.50 below the mean" in page
    assert "takes 10 s" in page and "15 minutes: met" in page
    for change in ({"cpu_seconds": 891.0}, {"peak_memory": 1.6e9}):
        assert "15 minutes: missed" in PAGES["gradescope"](found | {"stages": [stage | change]})
