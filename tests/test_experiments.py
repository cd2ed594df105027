"""The experiments run, go on where they stopped, and their tables say what their JSON says. No time is asserted."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT / "writeup" / "experiments"
sys.path.insert(0, str(EXPERIMENTS))

import common  # noqa: E402
import main_line  # noqa: E402
import plots  # noqa: E402
import runs  # noqa: E402
import speed  # noqa: E402
import speed_chain  # noqa: E402
import speed_rows  # noqa: E402

TRAINED = ("hmm", "crf_neural words-50")  # in the tests; what the others would find is made up
UNITS = {"ms", "s", "GB", "tokens/s"}


def run_script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, EXPERIMENTS / name, "--quick", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)


def tables(markdown: str) -> list[list[dict[str, str]]]:
    """The tables of a page, a row as a dictionary from the column's head to the cell."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        header, rule, *rows = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines())
        assert all(re.fullmatch("---:?", cell) for cell in rule)
        assert all(len(row) == len(header) for row in rows)
        found.append([dict(zip(header, row)) for row in rows])
    return found


def numbers(cell: str) -> list[float]:
    return [float(text.replace(",", "")) for text in re.findall(r"[-+]?[\d,]*\.?\d+(?:e[-+]\d+)?", cell)]


def no_run(*arguments: Any) -> None:
    raise AssertionError("tag.py was run again")


# common


def test_a_run_that_fails_says_what_tag_py_said(tmp_path: Path):
    with pytest.raises(common.RunError, match=r"^tag.py endev --model hmmm: exit status 2: .*did you mean hmm"):
        common.run_tag(["endev", "--model", "hmmm"], tmp_path, "x")


def test_small_data_are_the_beginnings_of_the_real_ones(tmp_path: Path):
    common.small_data(tmp_path)
    for name, sentences in common.QUICK_SENTENCES.items():
        small, real = ((folder / name).read_text(encoding="utf-8") for folder in (tmp_path, common.DATA))
        assert real.startswith(small) and small.count("\n") == sentences
    lexicons = sorted(path.name for path in common.LEXICONS.glob("*-*.txt"))
    assert sorted(path.name for path in tmp_path.glob("*-*.txt")) == lexicons
    for name in lexicons:
        header, *rows = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        assert len(rows) == int(header.split()[0]) == common.QUICK_ROWS


def test_json_keeps_lists_of_numbers_on_a_line(tmp_path: Path):
    value = {"a": [1, -2.5, 1e-7], "b": {"c": [["x", None], []]}, "d": "[1, 2]"}
    common.write_json(tmp_path / "deep" / "x.json", value)
    assert common.read_json(tmp_path / "deep" / "x.json") == value
    assert '"a": [ 1, -2.5, 1e-07 ]' in (tmp_path / "deep" / "x.json").read_text()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["x.json"]
    (tmp_path / "broken.json").write_text("{")
    assert common.read_json(tmp_path / "broken.json") is None
    assert common.read_json(tmp_path / "absent.json") is None


def test_the_machine_is_told_without_its_name():
    told = common.machine(3)
    assert set(told) == {"cpu", "cores", "torch_threads", "torch", "python", "system"}
    assert told["torch"] == torch.__version__ and told["torch_threads"] == 3 and told["cores"] >= 1
    assert all(str(value) in common.describe_machine(told) for value in told.values())


# speed


@pytest.fixture(scope="module")
def speed_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("speed")
    result = run_script("speed.py", "--out", out)
    assert result.returncode == 0, result.stderr
    assert str(out / "results" / "speed.md") in result.stdout
    assert (speed_chain.NO_PEER in result.stdout) == (speed_chain.torchcrf is None)
    return out / "results"


def expected_rows() -> dict[str, list[tuple[str, str]]]:
    """What each section measures, and against what."""
    peers = [speed_rows.PEER] if speed_chain.torchcrf else []
    compiled = speed_rows.compile_kernels() is None
    chain = []
    for transitions in ("shared", "position-dependent"):
        for shape in speed_chain.QUICK_SHAPES:
            for measure, name in speed_chain.MEASURES.items():
                sides = peers if transitions == "shared" else []
                sides = sides if measure == "log_likelihood" else [*sides, speed_rows.PLAIN]
                what = f"{name}, {transitions} transitions, {shape}"
                chain += [(what, side) for side in sides]
                chain += [(f"{what}, --compile", side if compiled else "") for side in sides]
    neural = "crf_neural --lexicon words-50.txt"
    training = [f"crf_backprop (one-hot), {what}" for what in ("an epoch of ensup", "training", "tagging endev")]
    training += [f"{neural}{more}, {what}" for more in ("", " --compile") for what in ("training", "tagging endev")]
    runs = [
        f"tag.py endev --model {model}: {what}"
        for model in ("crf_backprop", neural)
        for what in ("to the best dev cross-entropy", "to the end of training", "training", "tagging", "peak memory")
    ]
    return {
        "chain": chain,
        "training": [(what, speed_rows.PLAIN if compiled or "--compile" not in what else "") for what in training],
        "runs": [(what, "") for what in runs],
    }


def test_speed_has_every_row(speed_out: Path):
    result = json.loads((speed_out / "speed.json").read_text(encoding="utf-8"))
    rows = {name: [(row["what"], row["against"]) for row in section["rows"]] for name, section in result.items()}
    assert rows == expected_rows()
    for section in result.values():
        assert section["quick"] is True
        assert section["machine"]["torch"] == torch.__version__
        assert {"load_before", "load_after", "notes"} <= set(section)
        for row in section["rows"]:
            assert row["unit"] in UNITS
            if row["note"]:
                assert (row["ours"], row["met"]) == (None, None)
            elif "peak memory" not in row["what"] or sys.platform == "linux":
                assert row["ours"] > 0
            if row["against"]:
                wanted = row["ours"] / row["peer"] if row["unit"] == "tokens/s" else row["peer"] / row["ours"]
                assert row["ratio"] == pytest.approx(wanted)
            else:
                assert row["peer"] is row["ratio"] is None


def test_the_table_of_speed_is_what_the_json_says(speed_out: Path):
    result = json.loads((speed_out / "speed.json").read_text(encoding="utf-8"))
    page = (speed_out / "speed.md").read_text(encoding="utf-8")
    assert page == speed.markdown(result)
    for section, shown in zip(result.values(), tables(page), strict=True):
        assert common.describe_machine(section["machine"]) in page
        for row, cells in zip(section["rows"], shown, strict=True):
            assert cells["what"] == row["what"]
            assert bool(cells["target"]) == bool(row["target"])
            for side in ("ours", "peer"):
                if row[side] is not None:
                    assert numbers(cells[side])[0] == pytest.approx(row[side], rel=0.006, abs=0.5)
                    assert row["unit"] in cells[side]
            if row["against"]:
                assert row["against"] in cells["peer"]
                assert float(cells["ratio"]) == pytest.approx(row["ratio"], abs=0.051)


def test_one_section_leaves_the_others(speed_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "results").mkdir()
    before = (speed_out / "speed.json").read_text(encoding="utf-8")
    (tmp_path / "results" / "speed.json").write_text(before, encoding="utf-8")
    assert speed.main(["--quick", "--only", "chain", "--out", str(tmp_path)]) == 0
    after = json.loads((tmp_path / "results" / "speed.json").read_text(encoding="utf-8"))
    for name, section in json.loads(before).items():
        assert (after[name] == section) == (name != "chain")
    assert "load average" in capsys.readouterr().out


def test_without_the_peer_the_plain_engine_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(speed_chain, "torchcrf", None)
    assert speed.main(["--quick", "--only", "chain", "--out", str(tmp_path)]) == 0
    assert speed_chain.NO_PEER in capsys.readouterr().out
    section = json.loads((tmp_path / "results" / "speed.json").read_text(encoding="utf-8"))["chain"]
    assert [(row["what"], row["against"]) for row in section["rows"]] == expected_rows()["chain"]
    assert {row["against"] for row in section["rows"]} <= {speed_rows.PLAIN, ""}


def test_the_kernels_come_back(monkeypatch: pytest.MonkeyPatch):
    kept = speed_rows.chain_module.chain_fast, speed_rows.crf_neural.sum_of_sigmoids
    with pytest.raises(ZeroDivisionError), speed_rows.without_kernels():
        assert speed_rows.chain_module.chain_fast is None
        x, y, theta = torch.randn(3, 2), torch.randn(4, 2), torch.randn(2)
        assert torch.allclose(speed_rows.crf_neural.sum_of_sigmoids(x, y, theta), kept[1](x, y, theta), atol=1e-5)
        raise ZeroDivisionError
    assert (speed_rows.chain_module.chain_fast, speed_rows.crf_neural.sum_of_sigmoids) == kept


def test_compiled_kernels_are_in_use_only_where_they_are_measured():
    problem = speed_rows.compile_kernels()
    if problem:
        pytest.skip(problem)
    used = speed_rows.compiled(lambda: speed_rows.chain_compiled.library)
    assert used() is speed_rows.kernels()[0] is not None
    assert speed_rows.chain_compiled.library is None


def test_sides_that_differ_are_not_timed():
    gradient = torch.zeros(2)
    speed_chain.require_same({speed_rows.OURS: (1.0, gradient), speed_rows.PLAIN: (1.00001, gradient)}, "x")
    for other in ((1.001, gradient), (1.0, gradient + 0.1)):
        with pytest.raises(SystemExit, match="x: pytorch-crf 0.7.2 and ours differ"):
            speed_chain.require_same({speed_rows.OURS: (1.0, gradient), speed_rows.PEER: other}, "x")
    with pytest.raises(SystemExit):
        speed_chain.require_same({speed_rows.OURS: [[0, 1], [0]], speed_rows.PLAIN: [[0, 1], [1]]}, "x")


@pytest.mark.parametrize(
    ("unit", "ours", "peer", "target", "ratio", "met", "cell"),
    [
        ("ms", 2.0, 16.0, ("ratio", 8.0), 8.0, True, "at least 8 times as fast: met"),
        ("ms", 2.0, 15.0, ("ratio", 8.0), 7.5, False, "at least 8 times as fast: missed"),
        ("tokens/s", 16_000.0, 8_000.0, ("least", 15_000), 2.0, True, "at least 15,000 tokens/s: met"),
        ("s", 3.5, None, ("most", 3.0), None, False, "at most 3 s: missed"),
        ("GB", None, None, ("most", 2.0), None, None, "at most 2 GB: not measured"),
        ("s", 3.5, 7.0, None, 2.0, None, ""),
    ],
)
def test_ratios_and_targets(unit, ours, peer, target, ratio, met, cell):
    row = speed_rows.row("x", unit, ours, peer, speed_rows.PEER if peer else "", target)
    assert (row["ratio"], row["met"]) == (ratio, met)
    assert speed_rows.target_cell(row) == cell


# main_line


@pytest.fixture(scope="module")
def quick_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two systems trained for a moment, as a user calls it."""
    out = tmp_path_factory.mktemp("main_line")
    result = run_script("main_line.py", "--out", out, "--only", *TRAINED)
    assert result.returncode == 0, result.stderr
    assert (plots.NO_PLOTS in result.stdout) == (plots.matplotlib is None)
    return out


def result_of(out: Path, system: str, seed: int) -> dict[str, Any]:
    path = main_line.result_path(out / "results" / "main_line", system, seed)
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def full_out(quick_out: Path, tmp_path: Path) -> Path:
    """Results of all systems with three seeds, as a real run leaves them; made up from those of the quick one."""
    folder = tmp_path / "results" / "main_line"
    for number, system in enumerate(main_line.SYSTEMS):
        for seed in range(3):
            result = copy.deepcopy(result_of(quick_out, system if system in TRAINED else TRAINED[1], 0))
            result["command"] = main_line.command_of(system, seed, quick=False)
            result["metrics"]["accuracy"]["all"] += 0.01 * seed + 0.001 * number
            result["correct_by_sentence"][0] = number
            common.write_json(main_line.result_path(folder, system, seed), result)
    return tmp_path


def test_a_result_holds_what_was_run(quick_out: Path):
    for system in TRAINED:
        result = result_of(quick_out, system, 0)
        assert result["command"] == main_line.command_of(system, 0, quick=True)
        metrics, correct, tokens = result["metrics"], result["correct_by_sentence"], result["tokens_by_sentence"]
        assert len(correct) == len(tokens) == metrics["sentences"] == common.QUICK_SENTENCES["endev"]
        assert sum(correct) / sum(tokens) == pytest.approx(metrics["accuracy"]["all"])
        assert str(ROOT) not in json.dumps(result) and str(quick_out) not in json.dumps(result)
    missing = [system for system in main_line.SYSTEMS if system not in TRAINED]
    assert json.loads((quick_out / "results" / "main_line.json").read_text(encoding="utf-8"))["missing"] == missing


def test_what_is_there_is_not_run_again(quick_out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(common, "run_tag", no_run)
    monkeypatch.setattr(plots, "matplotlib", None)
    before = (quick_out / "results" / "main_line.json").read_bytes()
    assert main_line.main(["--quick", "--out", str(quick_out), "--only", *TRAINED]) == 0
    assert (quick_out / "results" / "main_line.json").read_bytes() == before


def test_another_command_is_run_and_a_failure_told(
    full_out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = full_out / "results" / "main_line"
    path = main_line.result_path(folder, "crf", 1)
    common.write_json(path, {**result_of(full_out, "crf", 1), "command": ["endev", "--model", "crf"]})
    asked = []

    def run_tag(arguments: list[str], work: Path, stem: str) -> None:
        asked.append((arguments[:-1], stem))
        raise common.RunError("tag.py broke")

    monkeypatch.setattr(common, "run_tag", run_tag)
    monkeypatch.setattr(plots, "matplotlib", None)
    assert main_line.main(["--out", str(full_out)]) == 1
    assert asked == [([*main_line.command_of("crf", 1, quick=False), "--threads"], "crf-1")]
    captured = capsys.readouterr()
    assert "main_line.py: error: tag.py broke" in captured.err
    assert plots.NO_PLOTS in captured.out
    summary = json.loads((full_out / "results" / "main_line.json").read_text(encoding="utf-8"))
    assert summary["systems"]["crf"]["seeds"] == [0, 2]


def test_the_tables_of_the_main_line_are_what_the_json_says(full_out: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(common, "run_tag", no_run)
    monkeypatch.setattr(main_line, "absent_lexicon", lambda system: None)
    assert main_line.main(["--out", str(full_out)]) == 0
    summary = json.loads((full_out / "results" / "main_line.json").read_text(encoding="utf-8"))
    page = (full_out / "results" / "main_line.md").read_text(encoding="utf-8")
    assert page == main_line.markdown(summary)
    assert summary["missing"] == []
    systems, neighbours, commands = tables(page)
    assert [row["system"] for row in systems] == [row["system"] for row in commands] == list(main_line.SYSTEMS)
    assert [(row["A"], row["B"]) for row in neighbours] == main_line.NEIGHBOURS
    for row, (name, system) in zip(systems, summary["systems"].items()):
        columns = {f"{category} %": (system["accuracy"][category], 100, 0.005) for category in main_line.CATEGORIES}
        columns["conditional cross-entropy"] = (system["conditional_cross_entropy"], 1, 0.00005)
        columns["training, s"] = (system["train_seconds"], 1, 0.05)
        columns["training, tokens/s"] = (system["train_tokens_per_second"], 1, 0.5)
        columns["tagging, tokens/s"] = (system["tag_tokens_per_second"], 1, 0.5)
        for column, (value, scale, rounding) in columns.items():
            wanted = [scale * value[part] for part in ("mean", "deviation") if value["mean"] is not None]
            assert numbers(row[column]) == pytest.approx(wanted, abs=rounding * 1.01), (name, column)
        assert numbers(row["parameters"]) == [system["parameters"]]
        assert row["seeds"] == "3"
        assert system["accuracy"]["all"]["deviation"] == pytest.approx(0.01)
    for row, comparison in zip(neighbours, summary["comparisons"]):
        found = numbers(row["accuracy of A minus B, points"]) + numbers(row["95 % interval"])
        wanted = [100 * comparison[end] for end in ("value", "low", "high")]
        assert found == pytest.approx(wanted, abs=0.00501)
        assert float(row["p"]) == pytest.approx(comparison["p"], abs=0.00005)
    figures = {path.name for path in full_out.glob("figures/*")}
    drawn = {f"{name}.{kind}" for name in ("main_line", "learning_curves") for kind in ("svg", "png")}
    assert figures == (drawn if plots.matplotlib else set())


def test_a_system_without_its_lexicon_is_left_out(
    quick_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(common, "LEXICONS", tmp_path)
    monkeypatch.setattr(common, "run_tag", no_run)
    folder = quick_out / "results" / "main_line"
    assert main_line.run_missing(folder, ["crf_neural words-50", "hmm"], [0], quick=True, jobs=1) == []
    assert "crf_neural words-50 left out: lexicons/words-50.txt is not there" in capsys.readouterr().out


def test_means_and_deviations():
    assert runs.over_seeds([0.5, 0.7, None, 0.9]) == pytest.approx(dict(mean=0.7, deviation=0.2))
    assert runs.over_seeds([0.5]) == dict(mean=0.5, deviation=None)
    assert runs.over_seeds([None]) == dict(mean=None, deviation=None)
    assert main_line.spread(dict(mean=1234.5, deviation=20.0), 1, 1) == "1,234.5 ± 20.0"
    assert main_line.spread(dict(mean=0.5, deviation=None), 100, 2) == "50.00"
    assert main_line.spread(dict(mean=None, deviation=None), 100, 2) == "-"
