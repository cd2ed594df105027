"""The artificial corpora: they follow the rules that are told of them, and what data/README.md says that taggers can
reach on them is right, by listing every sentence of a smaller world; and the experiment on them.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import eval as evaluation
from chain import LinearChain
from corpus import IntegerizedCorpus, Sentence, read_corpus
from integerize import Integerizer
from lexicon import Lexicon
from tagger import Tagger, tagger_class
from training import Settings, Trainer

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
EXPERIMENT = ROOT / "writeup" / "experiments" / "artificial.py"


def load(name: str, path: Path) -> Any:
    """A script as a module, under a name of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


corpora = load("artificial_corpora", DATA / "draw.py")


@cache
def read(name: str) -> list[Sentence]:
    return read_corpus(DATA / name)


def both(prefix: str) -> list[Sentence]:
    return read(f"{prefix}sup") + read(f"{prefix}dev")


def dependence(pairs: Iterable[tuple[Any, Any]]) -> float:
    """By how many standard deviations Pearson's chi square of a contingency table is above its mean.

    Of independent pairs it is about 0, and above 4 once in some thousand tables.
    """
    counts = Counter(pairs)
    N, rows, columns = sum(counts.values()), Counter(), Counter()
    for (row, column), count in counts.items():
        rows[row] += count
        columns[column] += count
    expected = {cell: rows[cell[0]] * columns[cell[1]] / N for cell in itertools.product(rows, columns)}
    assert min(expected.values()) >= 5, "too few for chi square"
    chi_square = sum((counts[cell] - value) ** 2 / value for cell, value in expected.items())
    degrees = (len(rows) - 1) * (len(columns) - 1)
    return (chi_square - degrees) / math.sqrt(2 * degrees)


def close_to(count: int, N: int, p: float) -> bool:
    """Whether a count of N trials is within 4 standard deviations of its mean."""
    return abs(count - N * p) <= 4 * math.sqrt(N * p * (1 - p))


# The rules


def test_next_tag_is_told_by_the_next_word_only():
    tags_after = defaultdict(set)
    for sentence in both("next"):
        for tag, following in zip(sentence.tags, [*sentence.words[1:], None], strict=True):
            tags_after[following].add(tag)
    assert all(len(tags) == 1 for tags in tags_after.values())
    assert tags_after.pop(None) == {"E"}
    assert Counter(tag for tags in tags_after.values() for tag in tags) == {"V": 3, "C": 3}
    words = [sentence.words for sentence in both("next")]
    for distance in (1, 2, 3):
        assert dependence(pair for w in words for pair in zip(w, w[distance:])) < 4
    of_own_word = [pair for s in both("next") for pair in zip(s.words[:-1], s.tags[:-1])]
    of_next_word = [pair for s in both("next") for pair in zip(s.words[1:], s.tags)]
    assert dependence(of_own_word) < 4 and dependence(of_next_word) > 100


def test_pos_tags_cycle_whatever_the_words():
    for sentence in both("pos"):
        assert "".join(sentence.tags) == ("A_B_" * len(sentence))[: len(sentence)]
    words = [sentence.words for sentence in both("pos")]
    assert dependence((word, i % 4) for w in words for i, word in enumerate(w)) < 4
    for distance in (1, 2, 3, 4):
        assert dependence(pair for w in words for pair in zip(w, w[distance:])) < 4
    assert dependence(pair for s in both("pos") for pair in zip(s.tags, s.tags[1:])) > 20
    assert {word for w in words for word in w} == {"tick", "tock"}


def test_pos_is_longer_in_development_than_in_training():
    assert min(map(len, read("posdev"))) > max(map(len, read("possup")))


def test_ice_cream_is_a_hidden_markov_model():
    """Two states, three observations, and frequencies that are those of the README."""
    diaries = both("ic")
    assert {word for s in [*diaries, *read("icraw")] for word in s.words} == {"1", "2", "3"}
    assert {tag for s in diaries for tag in s.tags} == {"C", "H"}
    assert {tag for s in read("icraw") for tag in s.tags} == {None}
    days = Counter(tag for s in diaries for tag in s.tags)
    eaten = Counter(pair for s in diaries for pair in zip(s.tags, s.words))
    change = Counter(pair for s in diaries for pair in zip(s.tags, (*s.tags[1:], "end")))
    assert close_to(sum(s.tags[0] == "C" for s in diaries), len(diaries), 0.5)
    for today, other, likely, unlikely in (("C", "H", "1", "3"), ("H", "C", "3", "1")):
        for following, p in ((today, 0.8), (other, 0.1), ("end", 0.1)):
            assert close_to(change[today, following], days[today], p)
        for number, p in ((likely, 0.7), ("2", 0.2), (unlikely, 0.1)):
            assert close_to(eaten[today, number], days[today], p)


# What the README shows


@pytest.mark.parametrize(("mark", "arguments"), [("BAYES", ["--bayes"]), ("ARTIFICIAL", [])])
def test_readme_has_what_the_script_prints(mark: str, arguments: list[str], capsys: pytest.CaptureFixture[str]):
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    shown = readme.partition(f"<!-- BEGIN {mark} -->\n")[2].partition(f"<!-- END {mark} -->")[0]
    assert corpora.main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed == shown and printed.count("\n") >= 10


# lamp, every sentence of up to five words: nothing of the script's code. (probability, word) lists use the README's
# numbers; a word of each kind, up and down alike, and one filler for the four.

AFTER = {"fell": (0, 0), "rose": (1, 1), "stayed": (0, 1), "turned": (1, 0)}  # where the first switch stands then
AFTER_ = {"fall": (0, 0), "rise": (1, 1), "stay": (0, 1), "turn": (1, 0)}
OPPOSITES = ("fell", "rose"), ("stayed", "turned"), ("fall", "rise"), ("stay", "turn")
OPPOSITE = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}
FIRST = [(0.5, "fell"), (0.5, "rose")]
LAST = [(0.5, "fall"), (0.5, "rise")]
INNER = [
    *((0.06 / 2, word) for word in ("fell", "rose", "fall", "rise")),
    *((0.10 / 2, word) for word in ("stayed", "turned", "stay", "turn")),
    (1 - 0.32, "hall"),
]
Words = tuple[str, ...]


def literal_states(words: Sequence[str]) -> list[int]:
    """Of each word, whether the lamp is on: literally what the README says."""
    states = []
    for i in range(len(words)):
        first = second = 0
        for word in words[:i]:
            first = AFTER.get(word, (0, 1))[first]
        for word in reversed(words[i + 1 :]):
            second = AFTER_.get(word, (0, 1))[second]
        states.append(int(first != second))
    return states


class Case(NamedTuple):
    """One thing that can happen: the words as printed, the states that were meant, and how likely it is."""

    printed: Words
    states: list[int]
    p: float


def printings(words: Words) -> Iterator[tuple[float, Words]]:
    """The ways to print words, each misprinted or not."""
    ways = [[(0.98, word), (0.02, OPPOSITE[word])] if word in OPPOSITE else [(1.0, word)] for word in words]
    for choice in itertools.product(*ways):
        yield math.prod(p for p, _ in choice), tuple(word for _, word in choice)


@cache
def cases(n: int) -> list[Case]:
    """Every case of n words."""
    listed = []
    for choice in itertools.product(FIRST, *[INNER] * (n - 2), LAST):
        p, words = math.prod(p for p, _ in choice), tuple(word for _, word in choice)
        states = literal_states(words)
        listed += [Case(printed, states, p * q) for q, printed in printings(words)]
    assert math.isclose(math.fsum(case.p for case in listed), 1.0)
    return listed


def slip(state: int) -> float:
    """p(the tag is `on`)."""
    return 0.95 if state else 0.05


def best_accuracy(lengths: range, seen: Callable[[Words, int], Any]) -> float:
    """The accuracy of the best tagger that sees so much, knows the length and the position, all lengths alike."""
    right = 0.0
    for n in lengths:
        on, all_ = defaultdict(float), defaultdict(float)
        for printed, states, p in cases(n):
            for i, state in enumerate(states):
                key = i, seen(printed, i)
                on[key] += p * slip(state)
                all_[key] += p
        right += math.fsum(max(on[key], all_[key] - on[key]) for key in all_)
    return right / sum(lengths)


SMALL = range(2, 6)


def test_cases_of_the_small_world():
    assert literal_states(("rose", "hall", "turned", "turn", "rise")) == [0, 1, 1, 1, 0]
    assert literal_states(("fell", "fall", "rise")) == [0, 1, 0]
    assert [len(cases(n)) for n in SMALL] == [16 * 17 ** (n - 2) for n in SMALL]


def test_lamp_states_are_the_literal_ones():
    for n in SMALL:
        for printed, _, _ in cases(n)[::7]:
            assert corpora.lamp_states(printed) == literal_states(printed)
    for sentence in read("lampdev"):
        assert corpora.lamp_states(sentence.words) == literal_states(sentence.words)


def test_best_accuracy_is_that_of_the_whole_sentence():
    expected = best_accuracy(SMALL, lambda words, i: words)
    assert corpora.expected_accuracy(lambda m, reach: 1.0, SMALL) == pytest.approx(expected, abs=1e-12)
    assert 0.85 < expected < 0.95


@pytest.mark.parametrize("c", [0, 1, 2, 3])
def test_best_accuracy_of_a_window(c: int):
    """A coin, but where both of the setters are in it."""
    expected = best_accuracy(SMALL, lambda words, i: words[max(0, i - c) : i + c + 1])
    found = corpora.expected_accuracy(lambda m, reach: float(reach <= c), SMALL)
    assert found == pytest.approx(expected, abs=1e-12)
    assert (found == 0.5) == (c == 0)


def test_posterior_of_a_tagging():
    """log p(tags | words) against the sum over all that could have been meant."""
    for n in (2, 3, 4):
        joint: dict[Words, dict[Words, float]] = defaultdict(lambda: defaultdict(float))
        for printed, states, p in cases(n):
            for tags in itertools.product(("off", "on"), repeat=n):
                of_tags = math.prod(slip(s) if tag == "on" else 1 - slip(s) for s, tag in zip(states, tags))
                joint[printed][tags] += p * of_tags
        for words, of_words in list(joint.items())[:: 1 if n < 4 else 5]:
            total = math.fsum(of_words.values())
            for tags, p in of_words.items():
                assert corpora.posterior_logprob(Sentence(words, tags)) == pytest.approx(math.log(p / total), abs=1e-9)


def test_posterior_on_lampdev():
    """The same on long sentences: what was meant differs from what is printed by misprints only."""
    checked = 0
    for sentence in read("lampdev"):
        if sum(word in OPPOSITE for word in sentence.words) > 6:
            continue
        checked += 1
        p = 0.0
        for q, meant in printings(sentence.words):
            p += q * math.prod(
                slip(s) if tag == "on" else 1 - slip(s) for s, tag in zip(literal_states(meant), sentence.tags)
            )
        assert corpora.posterior_logprob(sentence) == pytest.approx(math.log(p), abs=1e-9)
    assert checked > 100


# lamp and stationary models


def test_stationary_crf_of_highest_likelihood_is_blind():
    """Its counts are those of the data: each tag is a coin given its own word, and as many on-off as off-on."""
    changes = 0.0
    for n in SMALL:
        of_word, of_pair = defaultdict(float), defaultdict(float)
        for printed, states, p in cases(n):
            for i, word in enumerate(printed):
                of_word[i, word, "on"] += p * slip(states[i])
                of_word[i, word, "off"] += p * (1 - slip(states[i]))
            for i in range(n - 1):
                of_pair[i, "on", "off"] += p * slip(states[i]) * (1 - slip(states[i + 1]))
                of_pair[i, "off", "on"] += p * (1 - slip(states[i])) * slip(states[i + 1])
        for i, word, _ in of_word:
            assert of_word[i, word, "on"] == pytest.approx(of_word[i, word, "off"], abs=1e-12)
        for i in range(n - 1):
            assert of_pair[i, "on", "off"] == pytest.approx(of_pair[i, "off", "on"], abs=1e-12)
        changes += math.fsum(of_pair.values())
    assert corpora.expected_changes(SMALL) == pytest.approx(changes / sum(n - 1 for n in SMALL), abs=1e-12)


def test_blind_chain_is_a_distribution():
    for n in (1, 2, 5):
        taggings = itertools.product(("off", "on"), repeat=n)
        assert math.fsum(math.exp(corpora.blind_logprob(tags, 0.3)) for tags in taggings) == pytest.approx(1.0)
    assert corpora.blind_logprob(("on", "off", "off"), 0.3) == pytest.approx(math.log(0.5 * 0.3 * 0.7))


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_correlation_of_monotone_functions_with_parity(m: int):
    """The largest of all functions of m bits that rise in each, or fall."""
    inputs = np.array(list(itertools.product((0, 1), repeat=m)))
    parity = 1 - 2 * (inputs.sum(axis=1) % 2)
    values = 1 - 2 * (np.arange(2**2**m)[:, None] >> np.arange(2**m) & 1)  # every function to +1 and -1
    rising = np.ones(len(values), dtype=bool)
    for low, high in itertools.product(range(2**m), repeat=2):
        if (inputs[low] <= inputs[high]).all():
            rising &= values[:, low] <= values[:, high]
    assert rising.sum() == {1: 3, 2: 6, 3: 20, 4: 168}[m]  # Dedekind
    assert corpora.monotone_share(m) == abs(values[rising] @ parity).max() / 2**m


@pytest.mark.parametrize("n", [3, 4])
def test_no_crf_of_single_words_is_above_its_bound(n: int):
    """Weights that climb to the highest accuracy on all sentences of n words, decoded one way or the other."""
    places: dict[Words, int] = {}
    on, all_ = defaultdict(lambda: np.zeros(n)), defaultdict(float)
    for printed, states, p in cases(n):
        places.setdefault(printed, len(places))
        on[printed] += p * np.array([slip(s) for s in states])
        all_[printed] += p
    number = {word: i for i, word in enumerate(["hall", *OPPOSITE])}
    words = torch.tensor([[number[word] for word in printed] for printed in places])
    p_on, p_all = (torch.tensor(np.array([of[printed] for printed in places])) for of in (on, all_))
    lengths = torch.full((len(places),), n)

    def accuracy(weights: list[torch.Tensor]) -> float:
        start, emission, trans, stop = weights
        chain = LinearChain(start.expand(len(words), 2), emission[words], trans, stop.expand(len(words), 2), lengths)
        decoded = chain.argmax, (chain.marginals[:, :, 1] > 0.5).long()
        return max(torch.where(tags == 1, p_on, p_all[:, None] - p_on).sum().item() / n for tags in decoded)

    generator = torch.Generator().manual_seed(0)
    weights = [torch.zeros(shape, dtype=torch.float64) for shape in ((2,), (len(number), 2), (2, 2), (2,))]
    best = accuracy(weights)
    for _ in range(400):
        size = 2 * torch.rand((), generator=generator)
        changed = [w + size * torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
        if accuracy(changed) >= best:
            weights, best = changed, accuracy(changed)
    bound = corpora.expected_accuracy(lambda m, reach: corpora.monotone_share(m), range(n, n + 1))
    assert 0.6 < best <= bound < 0.85


# Models


def train(prefix: str, kind: str, settings: Settings, **sizes: int) -> tuple[Tagger, IntegerizedCorpus]:
    """A tagger of one-hot words, and the development corpus."""
    tagset = Integerizer(sorted({tag for s in read(f"{prefix}sup") for tag in s.tags}))
    lexicon = Lexicon.from_corpus(read(f"{prefix}sup"), [], True)
    training = IntegerizedCorpus(read(f"{prefix}sup"), lexicon.vocab, tagset, training=True)
    dev = IntegerizedCorpus(read(f"{prefix}dev"), lexicon.vocab, tagset)
    make = lambda: tagger_class(kind)(tagset, lexicon, **sizes)
    return Trainer(make, training, dev, settings, quiet=True).run(), dev


@pytest.mark.parametrize(("prefix", "blind"), [("next", 1 - 0.5 * 7 / 8), ("pos", 0.75)])
def test_a_stationary_crf_cannot_fit_next_and_pos(prefix: str, blind: float):
    """Below 90 %, with the weights that tag dev best, and near what one reaches who does not look at the words.

    At the maximum of the likelihood expected counts are those of the data. In both worlds a tag tells nothing of its
    own word (E apart, which the end of the sentence gives away), so a chain that ignores the words has these counts:
    one that knows E in `next` and tosses coins before it; one that knows `_` in `pos`, but not whether A or B is due.
    """
    settings = Settings(lr=0.1, max_steps=4000, eval_interval=500, loss="viterbi_error")
    tagger, dev = train(prefix, "crf_backprop", settings)
    accuracy = 1 - evaluation.viterbi_error(tagger, dev)
    assert accuracy == pytest.approx(blind, abs=0.06) and accuracy < 0.9


def test_a_small_birnn_crf_fits_next():
    settings = Settings(lr=0.05, batch_size=8, max_steps=2500, eval_interval=2500)
    tagger, dev = train("next", "crf_neural", settings, rnn_dim=2)
    assert evaluation.viterbi_error(tagger, dev) == 0
    assert evaluation.cross_entropy(tagger, dev).conditional < 0.01


# The experiment


def run_experiment(out: Path, *systems: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, EXPERIMENT, "--quick", "--out", out, "--only", *systems]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)


@pytest.fixture(scope="module")
def experiment() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXPERIMENT.parent)  # for common.py
        return load("artificial_experiment", EXPERIMENT)


QUICKLY = ("next crf_neural", "lamp hmm")  # run by the test


@pytest.fixture(scope="module")
def quick_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("artificial")
    result = run_experiment(out, *QUICKLY)
    assert result.returncode == 0, result.stderr
    assert str(out / "results" / "artificial.md") in result.stdout
    return out


def cells(page: str, first: str) -> list[list[str]]:
    """The rows of the table whose header begins so."""
    lines = page.partition(f"| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_a_quick_experiment(quick_out: Path, experiment: Any):
    """Every figure of the page is that of a run, or computed; nothing that was run is run again."""
    summary = json.loads((quick_out / "results" / "artificial.json").read_text(encoding="utf-8"))
    page = (quick_out / "results" / "artificial.md").read_text(encoding="utf-8")
    assert list(summary["systems"]) == list(QUICKLY) and summary["quick"]
    for name in QUICKLY:
        path = experiment.result_path(quick_out / "results" / "artificial", name, 0)
        result = json.loads(path.read_text(encoding="utf-8"))
        assert result["command"] == experiment.command_of(name, 0, True)
        (run,) = summary["systems"][name]["runs"]
        assert run["accuracy"] == result["metrics"]["accuracy"]["all"]
        assert run["cross_entropy"] == result["metrics"]["conditional_cross_entropy"]
        assert str(quick_out) not in path.read_text(encoding="utf-8")
    bounds = [[cell.rstrip("%") for cell in row] for row in cells(corpora.bayes() + "\n\n", "tagger")]
    shown = [[row[0], row[3], row[1], row[2]] for row in cells(page, "tagger")]
    assert [row for row in shown if not row[0].startswith("lamp ")] == bounds


def test_the_experiment_runs_nothing_twice(quick_out: Path, experiment: Any, monkeypatch: pytest.MonkeyPatch):
    def no_run(*arguments: Any) -> None:
        raise AssertionError("tag.py was run again")

    monkeypatch.setattr(experiment.common, "run_tag", no_run)
    before = (quick_out / "results" / "artificial.json").read_bytes()
    assert experiment.main(["--quick", "--out", str(quick_out), "--only", *QUICKLY]) == 0
    assert (quick_out / "results" / "artificial.json").read_bytes() == before


def test_the_experiment_goes_on_after_a_failure(
    tmp_path: Path, experiment: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked = []

    def run_tag(arguments: list[str], work: Path, stem: str) -> None:
        asked.append((arguments, stem))
        raise experiment.common.RunError("tag.py broke")

    monkeypatch.setattr(experiment.common, "run_tag", run_tag)
    assert experiment.main(["--out", str(tmp_path), "--seeds", "2", "--only", "pos crf_neural", "lamp hmm"]) == 1
    assert [stem for _, stem in asked] == ["pos-crf_neural-0", "pos-crf_neural-1", "lamp-hmm-0", "lamp-hmm-1"]
    assert asked[1][0] == [*experiment.command_of("pos crf_neural", 1, quick=False), "--threads", "1"]
    assert capsys.readouterr().err.count("artificial.py: error: tag.py broke\n") == 4


@pytest.mark.parametrize(
    ("accuracy", "cross_entropy", "found"),
    [(1.0, 0.0099, True), (1.0, 0.01, False), (0.999, 0.001, False), (1.0, None, False)],
)
def test_what_counts_as_found(experiment: Any, accuracy: float, cross_entropy: float | None, found: bool):
    metrics = dict(
        accuracy=dict(all=accuracy), conditional_cross_entropy=cross_entropy, train_seconds=1.0,
        history=[dict(attempt=0), dict(attempt=2)],
    )  # fmt: skip
    run = experiment.of_run(7, metrics)
    assert run["found"] is found and run["starts"] == 3 and run["seed"] == 7


def test_at_most_four_restarts_and_ten_seeds(experiment: Any):
    for corpus in experiment.RULES:
        system = experiment.SYSTEMS[f"{corpus} crf_neural"]
        assert system.seeds == 10 and system.arguments[:3] == ["crf_neural", "--rnn_dim", "2"]
        restarts = system.arguments[system.arguments.index("--restarts") + 1]
        assert int(restarts) <= 4
