"""The comparison of ways to search: every row is a command that tag.py takes, a run goes on where it stopped, the page
says what the JSON says, and nothing is below the best. No time is asserted.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from test_experiments import no_run, numbers, run_script, tables  # puts the experiments' folder on the path

# isort: split

import common
import plots
import search
import search_rows
import search_tables
import search_velocity

import plan as plans
from chain import LinearChain
from decoders import gradient_descent as descents
from learn_infnet import check, settings_of
from options import parser
from tagger import tagger_class

ONLY = ["--only", "ner", "table1", "table3"]


# The rows


@pytest.mark.parametrize("row", search_rows.ROWS)
def test_every_row_is_a_command(row: str):
    args = parser().parse_args(search_rows.command_of("ner", row, "x.model", 2, quick=False))
    assert (args.input, args.dev, args.seed) == ("nertest", "nertune", 2)
    check(args)
    if search_rows.is_network(row):
        settings = settings_of(args)
        assert settings.max_steps == int(search_rows.STEPS) and settings.seed == 2
        assert (settings.plus, settings.layers, settings.window) == (
            "+" in row,
            2 if "layers 2" in row else 1,
            2 if "window 2" in row else 1,
        )
        assert f"hidden {settings.hidden}" in row or settings.hidden == 100 and "hidden" not in row
        assert row.split()[0].removesuffix("+") == settings.network
    else:
        plan = plans.make_plan(args, *plans.model_argument(args))
        assert plan.train == ["nertrain"] and plan.settings["max_steps"] == int(search_rows.STEPS)
        assert issubclass(tagger_class(plan.kind), tagger_class("local_blstm").__mro__[2])
        assert bool(plan.sizes.get("plus")) == ("+" in row)


def test_every_system_of_a_table_has_a_row_and_figures_of_the_paper_have_a_place():
    for name, table in search_rows.TABLES.items():
        for task in table.tasks:
            systems = table.systems(task, False)
            assert {search_rows.row_of(system) for system in systems} <= search_rows.ROWS.keys()
            assert all(
                search_rows.is_network(row) or row.startswith("energy") or row.startswith("local")
                for row in map(search_rows.row_of, systems)
            )
            ways = systems + ["gradient_descent"]
            assert search_tables.paper_of(name, task).keys() <= set(ways)
            assert {system for pair in table.higher(task) for system in pair} <= set(ways)


def test_each_run_has_a_file_of_its_own():
    experiment = search.Experiment(Path("x"), quick=False)
    paths = [
        experiment.path(task, row, seed) for task in search_rows.TASKS for row in search_rows.ROWS for seed in (0, 1)
    ]
    paths += [
        experiment.measured(what, "ner", energy, 0).path
        for what in ("curves", "speed")
        for energy in ("energy", "energy+")
    ]
    assert len(set(paths)) == len(paths)


def test_a_result_remembers_what_it_was_made_from(monkeypatch: pytest.MonkeyPatch):
    """An energy with another command makes its networks and all measured of it out of date, and no local tagger."""
    experiment = search.Experiment(Path("x"), quick=False)
    made = lambda: [
        experiment.trained("ner", "local cnn", 0), experiment.trained("ner", "cnn", 0),
        experiment.measured("curves", "ner", "energy", 0), experiment.measured("curves", "ner", "energy+", 0),
    ]  # fmt: skip
    before = made()
    monkeypatch.setitem(search_rows.ROWS, "energy", ["--model", "crf_blstm", "--hidden", "7"])
    same = [old.command == new.command for old, new in zip(before, made())]
    assert same == [True, False, False, True]


def test_descent_with_its_velocity_cleared_or_carried():
    """Cleared it is the decoder's, from the same starts; carried, only the first batch goes the same way."""
    generator = torch.Generator().manual_seed(1)
    shapes = [(3, 4, 5), (2, 6, 5)]
    chains = [
        LinearChain(*(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in
                      ((B, k), (B, n, k), (k, k), (B, k))), torch.full((B,), n))
        for B, n, k in shapes
    ]  # fmt: skip
    found, random = search_velocity.descend(chains, 0.7, 3, False), torch.Generator().manual_seed(0)
    for tags, chain, shape in zip(found, chains, shapes):
        assert torch.equal(tags, descents.descend(chain, search_velocity.start(*shape, random), 3, 0.7).last.tags)
    carried = search_velocity.descend(chains, 0.7, 3, True)
    assert torch.equal(carried[0], found[0]) and not torch.equal(carried[1], found[1])
    velocity, random = torch.zeros(3, 6, 5, dtype=torch.float64), torch.Generator().manual_seed(0)
    for tags, chain, (B, n, k) in zip(carried, chains, shapes):  # by autograd
        logits = search_velocity.start(B, n, k, random)
        for _ in range(3):
            free = logits.clone().requires_grad_()
            (slope,) = torch.autograd.grad(chain.energy(free.softmax(dim=2)).sum(), free)
            velocity[:B, :n] = 0.9 * velocity[:B, :n] - 0.7 * slope
            logits = logits + velocity[:B, :n]
        assert torch.equal(tags, logits.argmax(dim=2))


def test_corpora(tmp_path: Path):
    """Training, tuning and test corpora share no sentence of the files that they are made of."""
    experiment = search.Experiment(tmp_path, quick=False)
    experiment.make_corpora(["ner"])
    train, tune, test = (
        (tmp_path / "models" / f"ner{part}").read_text(encoding="utf-8") for part in ("train", "tune", "test")
    )
    assert train + tune == (common.DATA / "nersup").read_text(encoding="utf-8")
    assert test == (common.DATA / "nerdev").read_text(encoding="utf-8")
    assert 9 * tune.count("\n") <= train.count("\n") < 10 * tune.count("\n")
    assert experiment.sizes("ner") == dict(train=train.count("\n"), tune=tune.count("\n"), test=test.count("\n"))


# A run as users call it


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    done = run_script("search.py", "--out", folder, *ONLY)
    assert done.returncode == 0, done.stderr
    assert str(folder / "results" / "search.md") in done.stdout
    return folder


def summary_of(out: Path) -> dict:
    return json.loads((out / "results" / "search.json").read_text(encoding="utf-8"))


def test_page_says_what_the_json_says(out: Path):
    summary = summary_of(out)
    page = (out / "results" / "search.md").read_text(encoding="utf-8")
    assert page == search_tables.markdown(summary) and "A quick run" in page
    found = summary["tasks"]["ner"]
    of_section = {part.split(":")[0].split("\n")[0]: tables(part) for part in page.split("\n## ")[1:]}
    assert of_section.keys() == {"Table 1", "Table 2", "Table 3", "Table 6 and Figure 2", "Gradient descent"}
    (table1,), (table3,), (table6,), (descent,) = (
        of_section[title] for title in ("Table 1", "Table 3", "Table 6 and Figure 2", "Gradient descent")
    )
    assert [row["way"] for row in table1] == [
        "local cnn", "cnn", "gradient_descent", "gradient_descent oracle", "viterbi"
    ]  # fmt: skip
    for row in table1:
        of = found["systems"][row["way"]]
        assert numbers(row["%"])[0] == pytest.approx(100 * of["quality"]["mean"], abs=0.051)
        assert (row["energy"] == "") == row["way"].startswith("local")
        assert row["paper %"] == "" or float(row["paper %"]) == search_rows.PAPER["table1"]["NER"][row["way"]]
    compiled = {f"{way} --compile" for way in ("viterbi", "restricted")}
    rates = found["speed"]["energy"]
    assert {row["way"] for row in table3} == rates["procedures"].keys()
    expected = {"cnn", "viterbi", "restricted", "gradient_descent", "pytorch-crf", *compiled}
    assert rates["procedures"].keys() | rates["absent"].keys() == expected
    curves = found["curves"]["energy"]
    for name, points in (("viterbi", [curves["viterbi"]]), ("warm_start", curves["warm_start"])):
        shown = [row for row in table6 if row["way"] == name]
        assert [numbers(row["energy"])[0] for row in shown] == pytest.approx([p["energy"] for p in points], abs=0.0051)
    assert [row["energy"] for row in descent] == ["BLSTM-CRF"] and descent[0]["training sentences"] == "36"
    figures = {path.name for path in out.glob("figures/*")}
    assert figures == ({"search.svg", "search.png"} if plots.matplotlib else set())


def test_nothing_is_below_the_best_and_steps_never_hurt(out: Path):
    (path,) = (out / "results" / "search").glob("ner-curves-*.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    lowest = found["viterbi"]["energy"]
    points = [
        found["networks"]["cnn"],
        *(p for way in ("oracle", "gradient_descent", "tailored", "warm_start") for p in found[way]),
    ]
    for point in points:
        assert point["search_error"] >= -1e-4 and point["energy"] >= lowest - 1e-4
        assert point["relaxed_energy"] is None or point["relaxed_energy"] >= lowest - 1e-4
        assert len(point["correct"]) == len(found["tokens"]) == found["sentences"]
    for way in ("tailored", "warm_start"):
        assert all(point["lowest_energy"] <= found["networks"]["cnn"]["energy"] + 1e-4 for point in found[way])


def test_searcher_and_tag_py_agree(out: Path):
    """On F1 and energies of Viterbi and of a network."""
    found = summary_of(out)["tasks"]["ner"]
    for system, point in (("viterbi", "viterbi"), ("cnn", "networks")):
        measured = found["curves"]["energy"][point]
        measured = measured["cnn"] if point == "networks" else measured
        of = found["systems"][system]
        assert measured["quality"] == pytest.approx(of["quality"]["mean"], abs=1e-9)
        assert measured["energy"] == pytest.approx(of["energy"], abs=1e-3)


def test_what_is_there_is_not_made_again(out: Path, monkeypatch: pytest.MonkeyPatch):
    before = (out / "results" / "search.json").read_bytes()
    monkeypatch.setattr(search.common, "run_tag", no_run)
    monkeypatch.setattr(search.subprocess, "run", no_run)
    monkeypatch.setattr(plots, "matplotlib", None)
    assert search.main(["--quick", "--out", str(out), *ONLY]) == 0
    assert (out / "results" / "search.json").read_bytes() == before


def test_lost_models_are_made_again_where_they_are_needed(out: Path, tmp_path: Path):
    """Without its model a result still stands, unless something is to be made from the model."""
    experiment = search.Experiment(out / "results" / "search", quick=True)
    copied = search.Experiment(tmp_path / "search", quick=True)
    copied.models.mkdir(parents=True)
    for path in experiment.folder.glob("*.json"):
        (copied.folder / path.name).write_bytes(path.read_bytes())
    rows = [("ner", "energy", 0), ("ner", "local cnn", 0), ("ner", "cnn", 0)]
    curves = ("curves", "ner", "energy", 0)
    copied.forget_lost(rows, [curves])
    assert all(copied.trained(*row).result() for row in rows)
    copied.measured(*curves).path.unlink()
    copied.forget_lost(rows, [curves])
    assert [copied.trained(*row).result() is None for row in rows] == [True, False, True]


# The page


def test_agreement_is_told_from_the_figures():
    pairs = [("a", "b"), ("b", "c"), ("a", "z")]
    text = search_tables.agreement(pairs, dict(a=3.0, b=1.0, c=2.0), dict(a=9.0, b=8.5, c=1.0), "points")
    assert "The same sign as in the paper: a − b +2.0 (+0.5). Another: b − c -1.0 (+7.5).\n" in text
    assert search_tables.agreement(pairs, dict(a=3.0), dict(a=9.0), "points") == ""


def test_tables_with_nothing_in_them_are_left_out(out: Path):
    summary = copy.deepcopy(summary_of(out))
    summary["tasks"]["ner"]["curves"], summary["tasks"]["ner"]["speed"] = {}, {}
    page = search_tables.markdown(summary)
    assert "Table 1" in page and not any(
        title in page for title in ("Table 3", "Table 4", "Table 5", "Table 6", "Figure 1")
    )


def test_networks_beside_gradient_descent():
    """Where accuracy counts: the difference of token accuracies, with an interval that holds it."""
    point = lambda correct: dict(correct=correct, iterations=search_rows.GD_ITERATIONS)
    curves = dict(
        spans=False, tokens=[5, 4, 6, 5], networks={"cnn": point([5, 4, 5, 5])}, gradient_descent=[point([4, 4, 3, 2])]
    )
    (found,) = search.search_summary.differences(curves)
    assert found["a"] == "cnn" and found["value"] == pytest.approx(6 / 20) and found["low"] <= 6 / 20 <= found["high"]
    assert search.search_summary.differences(dict(curves, spans=True)) == []
