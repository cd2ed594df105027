"""The experiment on language models: its n-gram models by their formula, its text, its runs and its tables."""

from __future__ import annotations

import json
import math
import os
import random
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
import language_model  # noqa: E402
from language_model import OOV, Texts  # noqa: E402
from ngrams import BOS, DISCOUNTS, EOS, KneserNey  # noqa: E402

from corpus import Sentence, read_corpus  # noqa: E402

DRAWN = random.Random(3)
TEXT = [tuple(DRAWN.choices("abcd", weights=[8, 4, 2, 1], k=DRAWN.randint(1, 5))) for _ in range(12)]
WORDS = ["a", "b", "c", "d", "e", EOS]  # e is never in the text
TRAINED = ["unigram", "bigram", "hmm", "hmm_neural"]

# ----------------------------------------------------------------------------------------------------------- n-grams


def padded(words: tuple[str, ...], order: int) -> list[str]:
    return [BOS] * (order - 1) + [*words, EOS]


def occurrences(gram: list[str], order: int) -> list[list[str]]:
    """The n-grams of highest order in the text that end in `gram`."""
    found = []
    for words in TEXT:
        row = padded(words, order)
        found += [row[i - order + 1 : i + 1] for i in range(order - 1, len(row))]
    return [whole for whole in found if whole[order - len(gram) :] == gram]


def by_formula(word: str, history: list[str], discount: float, order: int) -> float:
    """Interpolated Kneser-Ney, counting anew for each use."""

    def c(gram: list[str]) -> int:
        at = occurrences(gram, order)
        return len(at) if len(gram) == order else len({whole[order - len(gram) - 1] for whole in at})

    lower = by_formula(word, history[1:], discount, order) if history else 1 / len(WORDS)
    counts = {w: c([*history, w]) for w in WORDS}
    total, types = sum(counts.values()), sum(count > 0 for count in counts.values())
    if total == 0:
        return lower
    return max(counts[word] - discount, 0.0) / total + discount * types / total * lower


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("discount", [0.3, 0.75])
def test_kneser_ney(order: int, discount: float) -> None:
    """The formula, for every history of the text and for some that are not in it; and each sums to 1."""
    model = KneserNey(TEXT, order, len(WORDS))
    histories = {gram[:-1] for words in TEXT for gram in model.grams(words)}
    histories |= {("e",) * (order - 1), ("d", "e")[: order - 1]}
    for history in histories:
        found = [model.probability((*history, word), discount) for word in WORDS]
        assert sum(found) == pytest.approx(1.0)
        assert found == pytest.approx([by_formula(word, list(history), discount, order) for word in WORDS])


def test_probabilities_of_texts() -> None:
    """That of a text is the product over its words and its end; short texts have nearly all of the probability."""
    model = KneserNey(TEXT, 2, len(WORDS))
    p = {(h, w): by_formula(w, [h], 0.7, 2) for h in [BOS, *WORDS[:-1]] for w in WORDS}
    expected = p[BOS, "a"] * p["a", "e"] * p["e", "b"] * p["b", EOS]
    assert model.logprob(("a", "e", "b"), 0.7) == pytest.approx(math.log(expected))
    assert list(model.grams(("a", "b"))) == [(BOS, "a"), ("a", "b"), ("b", EOS)]
    assert model.parameter_count() == len({gram for words in TEXT for gram in model.grams(words)}) + 5


def test_the_tuned_discount_is_the_best() -> None:
    model, other = KneserNey(TEXT[:8], 2, len(WORDS)), TEXT[8:]
    totals = {discount: sum(model.logprob(words, discount) for words in other) for discount in DISCOUNTS}
    assert totals[model.tune(other)] == max(totals.values()) > min(totals.values()) + 0.1


# ------------------------------------------------------------------------------------------------------------ the text


def test_the_text_is_parted_and_has_one_vocabulary(tmp_path: Path) -> None:
    texts = language_model.read_texts(tmp_path, quick=False)
    raw, tagged = (read_corpus(common.DATA / name) for name in ("enraw", "ensup"))
    parts = [*texts.train[len(tagged) :], *texts.tune, *texts.held_out]
    assert [len(sentence) for sentence in parts] == [len(sentence) for sentence in raw]
    assert len(texts.tune) == len(texts.held_out) == len(raw) // 10
    assert [len(sentence) for sentence in texts.train[: len(tagged)]] == [len(sentence) for sentence in tagged]
    found = {word for part in (texts.train, texts.tune, texts.held_out) for s in part for word in s.words}
    assert found == {OOV, *texts.counts} - {""}
    words = [word for sentence in texts.train for word in sentence.words]
    assert texts.counts["the"] == words.count("the") and texts.counts[""] == words.count(OOV)
    assert min(texts.counts.values()) == 2
    assert {tag for part in (texts.train, texts.tune, texts.held_out) for s in part for tag in s.tags} == {None}


# ------------------------------------------------------------------------------------------------------------- the runs


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As a user calls it."""
    folder = tmp_path_factory.mktemp("language_model")
    command = [
        sys.executable,
        EXPERIMENTS / "language_model.py",
        "--quick",
        "--out",
        folder,
        "--only",
        *TRAINED,
        "large",
    ]
    environment = {**os.environ, "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 0, done.stderr
    assert str(folder / "results" / "language_model.md") in done.stdout
    return folder


def result(out: Path, name: str) -> dict[str, Any]:
    return json.loads((out / "results" / "language_model" / f"{name}.json").read_text(encoding="utf-8"))


def test_results_and_table(out: Path, tmp_path: Path) -> None:
    summary = json.loads((out / "results" / "language_model.json").read_text(encoding="utf-8"))
    page = (out / "results" / "language_model.md").read_text(encoding="utf-8")
    assert page == language_model.markdown(summary)
    assert summary["missing"] == [name for name in language_model.SYSTEMS if name not in TRAINED]
    with_small = tmp_path / "small"
    with_small.mkdir()
    common.small_data(with_small)
    texts = language_model.read_texts(with_small, quick=True)
    events = sum(len(sentence) + 1 for sentence in texts.held_out)
    rows = {cells[0]: cells[1:] for cells in (line.strip("| ").split(" | ") for line in page.splitlines()) if cells[1:]}
    for name in TRAINED:
        logprobs = result(out, name)["logprobs"]
        assert len(logprobs["held_out"]) == len(texts.held_out) and len(logprobs["tune"]) == len(texts.tune)
        perplexity = math.exp(-sum(logprobs["held_out"]) / events)
        assert summary["systems"][name]["perplexity"]["held_out"] == pytest.approx(perplexity)
        assert 5 < perplexity < len(texts.counts) + 1
        gain = summary["systems"][name]["gain"]
        if name == "bigram":
            assert gain is None
        else:
            per_token = (sum(logprobs["held_out"]) - sum(result(out, "bigram")["logprobs"]["held_out"])) / events
            assert gain["value"] == pytest.approx(per_token) and gain["low"] <= per_token <= gain["high"]
    assert re.search(r"^\| bigram \| \d+\.\d \| \d+\.\d \| - \| - \|", page, re.MULTILINE) and len(rows) > len(TRAINED)
    assert summary["large"]["peak_memory"] > 0 and "## Many states" in page
    assert str(ROOT) not in json.dumps(summary) and str(out) not in json.dumps(summary)


def test_what_is_there_is_not_made_again(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("made again")

    before = (out / "results" / "language_model.json").read_bytes()
    monkeypatch.setattr(language_model, "make_result", refuse)
    arguments = ["--quick", "--out", str(out), "--only"]
    assert language_model.main([*arguments, *TRAINED, "large"]) == 0
    assert (out / "results" / "language_model.json").read_bytes() == before
    monkeypatch.setitem(language_model.SYSTEMS, "bigram", dict(order=3))
    with pytest.raises(AssertionError, match="made again"):
        language_model.main([*arguments, "bigram"])


@pytest.mark.parametrize("name", ["hmm", "hmm_neural"])
def test_an_interrupted_training_goes_on_to_the_same_result(name: str, out: Path, tmp_path: Path) -> None:
    arguments = ["--quick", "--out", str(tmp_path), "--only", name]
    assert language_model.main([*arguments, "--minutes", "0"]) == 130
    folder = tmp_path / "results" / "language_model"
    assert [path.name for path in folder.iterdir()] == [f"{name}.checkpoint"]
    assert language_model.main([*arguments, "--minutes", "0"]) == 130  # one step further
    assert language_model.main(arguments) == 0
    assert [path.name for path in folder.iterdir()] == [f"{name}.json"]
    assert result(tmp_path, name)["logprobs"] == result(out, name)["logprobs"]


def test_two_thousand_states_fit_in_two_gigabytes() -> None:
    """The gradient of 10 sentences of 50 words: the dynamic program and the emissions of a thousand words."""
    torch.manual_seed(0)
    words = [f"w{number}" for number in range(1000)]
    drawn = torch.randint(len(words), (10, 50)).tolist()
    sentences = [Sentence(tuple(words[number] for number in row), (None,) * 50) for row in drawn]
    texts = Texts(sentences, [], [], dict.fromkeys(["", *words], 2))
    found = language_model.in_its_own_process(texts, states=2000, batch_size=10)
    assert found["parameters"] > 2000 * 256
    assert found["peak_memory"] is None or 2e8 < found["peak_memory"] < 2e9
