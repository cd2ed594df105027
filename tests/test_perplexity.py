"""The experiment on perplexity and search error: rank correlations and language models by their definitions, search
errors by enumeration, and its runs and tables.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "writeup" / "experiments"))

import perplexity  # noqa: E402
import perplexity_lm as language  # noqa: E402
import perplexity_search as searching  # noqa: E402
import plots  # noqa: E402
from perplexity_ranks import AT_A_TIME, Spearman, correlations, midranks  # noqa: E402
from perplexity_rows import quantities  # noqa: E402

import enumeration as brute  # noqa: E402
from corpus import parse_sentence  # noqa: E402
from test_experiments import numbers, run_script, tables  # noqa: E402
from test_infnet import make_model, make_network, sentences_of  # noqa: E402
from test_local import LINES  # noqa: E402

# Rank correlations


def rank_by_definition(values: Sequence[float]) -> list[float]:
    """The mean of the places of all values that are equal."""
    ordered = sorted(values)
    places = {value: [place for place, other in enumerate(ordered, 1) if other == value] for value in set(values)}
    return [sum(places[value]) / len(places[value]) for value in values]


def pearson(x: Sequence[float], y: Sequence[float]) -> float:
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    product = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y))
    return product / math.sqrt(sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y))


def rho_by_definition(x: Sequence[float], y: Sequence[float]) -> float:
    return pearson(rank_by_definition(x), rank_by_definition(y))


def drawn(N: int = 40) -> np.ndarray:
    """Three quantities: one without ties, one that is mostly 0, one of few values; none independent of another."""
    generator = np.random.default_rng(5)
    x = generator.normal(size=N)
    return np.stack([x, np.maximum(0.0, x + generator.normal(size=N)), np.round(x + generator.normal(size=N))])


def test_ranks_of_ties() -> None:
    values = np.array([3.0, 1.0, 3.0, 0.0, 3.0, 1.0])
    assert midranks(values, np.ones((1, 6), dtype=int)).tolist() == [[5.0, 2.5, 5.0, 1.0, 5.0, 2.5]]
    assert rank_by_definition(values.tolist()) == [5.0, 2.5, 5.0, 1.0, 5.0, 2.5]


def test_rho_by_its_definition() -> None:
    """Of the sample, and of draws in which sentences come several times or not at all."""
    values = drawn()
    copies = np.random.default_rng(6).multinomial(40, np.full(40, 1 / 40), size=7)
    copies[0] = 1
    found = correlations(values, copies)
    for of_draw, multiplicities in zip(found, copies):
        sample = [np.repeat(column, multiplicities).tolist() for column in values]
        expected = [[rho_by_definition(a, b) for b in sample] for a in sample]
        np.testing.assert_allclose(of_draw, expected, atol=1e-12)
    assert 0.2 < found[0, 0, 1] < 0.95


def test_partial_correlation_is_that_of_residuals() -> None:
    """Of the ranks after regression on the ranks of the third quantity."""
    values = drawn()
    spearman = Spearman.of(dict(zip("abc", values)), draws=10)
    ranks = np.array([rank_by_definition(column.tolist()) for column in values])
    design = np.stack([np.ones(40), ranks[2]], axis=1)
    residuals = [column - design @ np.linalg.lstsq(design, column, rcond=None)[0] for column in ranks[:2]]
    partial = spearman.rho("a", "b", given="c")
    assert partial.value == pytest.approx(pearson(*residuals), abs=1e-10)
    assert abs(partial.value - spearman.rho("a", "b").value) > 0.05
    expected = rho_by_definition(values[0], values[1]) - rho_by_definition(values[0], values[2])
    assert spearman.difference("a", "b", "c").value == pytest.approx(expected)


def test_interval_is_that_of_a_literal_bootstrap() -> None:
    values = drawn(60)
    spearman = Spearman.of(dict(zip("abc", values)), draws=3 * AT_A_TIME + 1)
    assert spearman.draws.shape == (3 * AT_A_TIME + 1, 3, 3)
    generator = np.random.default_rng(7)
    samples = [values[:2, generator.integers(60, size=60)].tolist() for _ in range(400)]
    low, high = np.quantile([rho_by_definition(*sample) for sample in samples], [0.025, 0.975])
    found = spearman.rho("a", "b")
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.06)
    assert found.low < found.value < found.high


def test_rho_of_what_does_not_vary_is_not_defined() -> None:
    values = dict(x=np.arange(5.0), same=np.zeros(5), double=2 * np.arange(5.0))
    spearman = Spearman.of(values, draws=20)
    assert spearman.rho("x", "same") is None and spearman.difference("x", "double", "same") is None
    assert spearman.rho("x", "double").value == pytest.approx(1.0)
    assert spearman.rho("x", "same", given="double") is None and spearman.rho("x", "x", given="double") is None


# Language models

TEXT = [["a", "b", "a", "c"], ["b", "a"], ["a", "rare", "b"], ["c", "b", "a", "b", "a"]]


def test_rare_symbols_are_one() -> None:
    sequences = language.Sequences(TEXT, least=2)
    assert list(sequences.symbols) == [language.END, language.UNKNOWN, "a", "b", "c"]
    corpus = sequences.integerize([["a", "new", "rare"], ["c"]])
    assert corpus.ids.tolist() == [2, 1, 1, 4] and len(sequences.symbols) == 5
    assert sequences.unknown(corpus) == 0.5 and sequences.unknown(sequences.training) == pytest.approx(1 / 14)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def nats_by_hand(model: language.LanguageModel, ids: list[int]) -> list[float]:
    """-log p of each symbol and of the end, by the equations of an LSTM."""
    W, V, b, c = (getattr(model.lstm, f"{name}_l0").detach().numpy() for name in (
        "weight_ih", "weight_hh", "bias_ih", "bias_hh"))  # fmt: skip
    E, bias = model.embedding.weight.detach().numpy(), model.bias.detach().numpy()
    h = cell = np.zeros(E.shape[1])
    nats = []
    for before, symbol in zip([0, *ids], [*ids, 0]):
        i, f, g, o = np.split(W @ E[before] + b + V @ h + c, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(cell)
        scores = E @ h + bias
        nats.append(math.log(np.exp(scores).sum()) - scores[symbol])
    return nats


def test_perplexity_by_hand() -> None:
    """exp of the mean over symbols and the end; the same alone and in a padded batch."""
    torch.manual_seed(0)
    sequences = language.Sequences(TEXT, least=2)
    model = language.LanguageModel(len(sequences.symbols), 6, dropout=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    corpus = sequences.training
    log_p = language.log_probabilities(model, corpus)
    by_hand = [nats_by_hand(model, corpus.batch(torch.tensor([b])).ids[0].tolist()) for b in range(len(TEXT))]
    assert [len(nats) for nats in by_hand] == [5, 3, 4, 6]
    np.testing.assert_allclose(-log_p.numpy(), [sum(nats) for nats in by_hand], rtol=1e-5)
    every = sum(by_hand, [])
    assert language.perplexity(log_p, corpus.lengths) == pytest.approx(math.exp(sum(every) / len(every)), rel=1e-5)
    found = quantities(dict(lengths=[4], language_models=dict(words=dict(log_p=[float(log_p[0])])), ways={}))
    assert found["words"].tolist() == pytest.approx([math.exp(sum(by_hand[0]) / 5)], rel=1e-5)


def test_training_learns_an_order_and_keeps_the_best_epoch() -> None:
    sequences = language.Sequences([["a", "b"] * (1 + n % 3) for n in range(60)], least=1)
    watched = sequences.integerize([["a", "b"], ["a", "b", "a", "b", "a", "b"]])
    settings = language.Settings(hidden=16, lr=0.02, epochs=12, patience=20, dropout=0.1)
    model, epoch = language.train(sequences, watched, settings, "test")
    log_p = language.log_probabilities(model, watched)
    assert 1.0 < language.perplexity(log_p, watched.lengths) < 1.6  # its lengths are not foretold
    shorter = language.Settings(hidden=16, lr=0.02, epochs=epoch, patience=20, dropout=0.1)
    again, _ = language.train(sequences, watched, shorter, "test")
    assert torch.equal(language.log_probabilities(again, watched), log_p)
    hopeless = language.Settings(hidden=16, lr=0.0, epochs=50, patience=2)
    assert language.train(sequences, watched, hopeless, "test")[1] == 1


# Search errors


def test_search_errors_by_enumeration() -> None:
    model = make_model()
    ways = dict(
        network=searching.network(model, make_network(model)), mean_field=searching.mean_field(model),
        beam=searching.beam_search(model, 1), gradient_descent=searching.gradient_descent(1.0, 5),
    )  # fmt: skip
    problems = searching.Problems(model, [parse_sentence(line, "test") for line in LINES])
    (numbers_of,), (batch,), (chain,) = problems.numbers, problems.batches, problems.chains
    for name, way in ways.items():
        tags, q = way(batch, chain)
        errors = problems.errors(way)
        assert (errors["relaxed"] is None) == (q is None) == (name == "beam")
        for row, sentence in enumerate(sentences_of(model, batch)):
            n, number = len(sentence.emit), int(numbers_of[row])
            assert n == len(LINES[number].split())
            best = brute.scores(sentence).max()
            expected = best - brute.score(sentence, tags[row, :n].tolist())
            assert errors["discrete"][number] == pytest.approx(expected, abs=1e-9)
            assert (errors["discrete"][number] == 0) == (expected < 1e-9)
            if q is not None:
                expected = brute.energy(sentence, q[row, :n].numpy()) + best
                assert errors["relaxed"][number] == pytest.approx(expected, abs=1e-6)
                assert errors["relaxed"][number] >= -1e-9
    steps = (0.01, 0.1, 1.0)
    means = {step: np.mean(problems.errors(searching.gradient_descent(step, 5))["discrete"]) for step in steps}
    assert means[searching.tuned_step(problems, steps, 5)] == min(means.values())


# The runs


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a user calls it."""
    folder = tmp_path_factory.mktemp("perplexity")
    done = run_script("perplexity.py", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert str(folder / "results" / "perplexity.md") in done.stdout
    return folder


def results(out: Path) -> dict[str, Any]:
    files = (out / "results" / "perplexity").glob("ner-*.json")
    return {path.stem[len("ner-") :]: json.loads(path.read_text(encoding="utf-8")) for path in files}


def test_tables_are_what_the_results_say(out: Path) -> None:
    summary = json.loads((out / "results" / "perplexity.json").read_text(encoding="utf-8"))
    page = (out / "results" / "perplexity.md").read_text(encoding="utf-8")
    assert page == perplexity.markdown(summary) and "A quick run" in page
    found, task = results(out), summary["tasks"]["ner"]
    models, searches, gains = tables(page)
    assert [row["language model of"] for row in models] == ["words", "tags"]
    networks = [name for name in found if name.startswith("blstm")]
    assert {row["way to search"] for row in searches} == set(found) - {"words", "tags"}
    assert [(row["network"], row["output"]) for row in gains] == [(networks[0], "discrete"), (networks[0], "relaxed")]
    dev = (out / "results" / "perplexity" / "quick" / "nerdev").read_text(encoding="utf-8").splitlines()
    lengths = np.array([len(line.split()) for line in dev[1::2]])
    assert task["sentences"] == len(lengths) and task["tokens"] == lengths.sum()
    nats = -np.array(found["words"]["log_p"])
    shown = [row for row in searches if row["way to search"] == networks[0] and row["output"] == "relaxed"]
    rho = rho_by_definition(np.exp(nats / (lengths + 1)).tolist(), found[networks[0]]["errors"]["relaxed"])
    assert numbers(shown[0]["ρ words"])[0] == pytest.approx(rho, abs=0.00051)
    assert numbers(shown[0]["paper: words, tags"]) == [0.282, 0.195]
    assert numbers(models[0]["perplexity"])[0] == pytest.approx(np.exp(nats.sum() / (lengths + 1).sum()), abs=0.051)
    figures = {path.name for path in out.glob("figures/*")}
    assert figures == ({"perplexity_ner.svg", "perplexity_ner.png"} if plots.matplotlib else set())
    assert str(out) not in json.dumps([summary, found])


def test_no_search_error_is_negative(out: Path) -> None:
    errors = [result["errors"] for result in results(out).values() if "errors" in result]
    assert len(errors) == 5 and any(max(of["discrete"]) > 0 for of in errors)
    for of in errors:
        assert len(of["discrete"]) == 20 and min(of["discrete"]) >= -1e-4
        assert of["relaxed"] is None or min(of["relaxed"]) >= -1e-4


def test_what_is_there_is_not_made_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("made again")

    before = (out / "results" / "perplexity.json").read_bytes()
    for of, name in ((perplexity.common, "run_tag"), (perplexity, "measure_language"), (searching, "Problems")):
        monkeypatch.setattr(of, name, never)
    monkeypatch.setattr(plots, "matplotlib", None)
    arguments = ["--quick", "--out", str(out)]
    assert perplexity.main(arguments) == 0
    assert (out / "results" / "perplexity.json").read_bytes() == before
    monkeypatch.setattr(perplexity, "ITERATIONS", 3)
    with pytest.raises(AssertionError, match="made again"):
        perplexity.main(arguments)


def test_without_a_model_it_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, told in (
        ([], "run writeup/experiments/search.py first"),
        (["--task", "ner"], "run writeup/experiments/search.py first"),
        (["--model", "x.model"], "--model needs exactly one --task"),
        (["--task", "nothing", "--quick"], "no such corpus"),
    ):
        assert perplexity.main(["--out", str(tmp_path), *more]) == 2
        error = capsys.readouterr().err
        assert error.startswith("perplexity.py: error: ") and told in error and error.count("\n") == 1
