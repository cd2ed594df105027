"""The comparison of ways to search runs, goes on where it stopped, and its page says what its JSON says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "writeup" / "experiments"))

import search  # noqa: E402

from test_experiments import numbers, run_script, tables  # noqa: E402


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    done = run_script("search.py", "--out", folder, "--only", "ner")
    assert done.returncode == 0, done.stderr
    return folder


def test_tables_are_what_the_json_says(out: Path) -> None:
    summary = json.loads((out / "results" / "search.json").read_text(encoding="utf-8"))
    page = (out / "results" / "search.md").read_text(encoding="utf-8")
    assert page == search.markdown(summary) and "A quick run" in page
    found = summary["tasks"]["ner"]
    table1, table3, table6 = tables(page)
    assert [row["way"] for row in table1] == ["local_cnn", "cnn", "gradient_descent", "viterbi"]
    assert {row["way"] for row in table3} == {"cnn", "viterbi", "restricted", "gradient_descent"}
    rows = [("viterbi", [found["table6"]["viterbi"]]), ("warm_start", found["table6"]["warm_start"])]
    for name, points in rows:
        shown = [row for row in table6 if row["way"] == name]
        assert [numbers(row["energy"])[0] for row in shown] == pytest.approx([p["energy"] for p in points], abs=0.0051)
    figures = {path.name for path in out.glob("figures/*")}
    assert figures == ({"search.svg", "search.png"} if search.matplotlib else set())


def test_nothing_is_below_the_best_and_steps_never_hurt(out: Path) -> None:
    found = json.loads((out / "results" / "search" / "ner.json").read_text(encoding="utf-8"))["table6"]
    for name in ("oracle", "gradient_descent", "tailored", "warm_start"):
        for point in found[name]:
            assert point["search_error"] >= -1e-4
            relaxed = point["relaxed_energy"]
            assert relaxed is None or relaxed >= found["viterbi"]["energy"] - 1e-4
            if name in ("tailored", "warm_start"):
                assert point["lowest_energy"] <= found["infnet"]["energy"] + 1e-4


def test_what_is_there_is_not_made_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (out / "results" / "search.json").read_bytes()

    def never(*arguments: object) -> None:
        raise AssertionError("tag.py was run again")

    monkeypatch.setattr(search.common, "run_tag", never)
    monkeypatch.setattr(search, "matplotlib", None)
    assert search.main(["--quick", "--out", str(out), "--only", "ner"]) == 0
    assert (out / "results" / "search.json").read_bytes() == before
