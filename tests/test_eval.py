"""Evaluation, against counting by hand, against seqeval, and by its properties."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eval as evaluation

# Accuracy

CATEGORIES = ("known", "seen", "novel")
TAGS = st.sampled_from(["N", "V", "D", "*"])
TOKENS = st.tuples(st.one_of(st.none(), TAGS), TAGS, st.sampled_from(CATEGORIES))
TAGGINGS = st.lists(st.lists(TOKENS, min_size=1, max_size=6), max_size=6)


def columns(taggings: list[list[tuple]], number: int) -> list[list]:
    return [[token[number] for token in sentence] for sentence in taggings]


def test_accuracy_by_hand():
    gold = [["D", "N", None], ["V", "*"]]
    predicted = [["D", "V", "N"], ["V", "*"]]
    category = [["known", "seen", "known"], ["known", "seen"]]
    scores = evaluation.accuracy(gold, predicted, category)
    assert scores == {
        "all": evaluation.Accuracy(3, 4),
        "known": evaluation.Accuracy(2, 2),
        "seen": evaluation.Accuracy(1, 2),
        "novel": evaluation.Accuracy(0, 0),
    }
    assert (scores["all"].fraction, scores["novel"].fraction) == (0.75, None)
    starred = evaluation.accuracy(gold, predicted, category, star_is_wrong=True)
    assert (starred["all"].correct, starred["seen"].correct, starred["seen"].total) == (2, 0, 2)


@settings(deadline=None)
@given(TAGGINGS, st.booleans())
def test_accuracy_counts_each_token_once(taggings: list[list[tuple]], star: bool):
    gold, predicted, category = (columns(taggings, number) for number in range(3))
    scores = evaluation.accuracy(gold, predicted, category, star)
    tokens = [token for sentence in taggings for token in sentence if token[0] is not None]
    for name in CATEGORIES:
        of_name = [token for token in tokens if token[2] == name]
        right = [g == p and not (star and g == "*") for g, p, _ in of_name]
        assert (scores[name].correct, scores[name].total) == (sum(right), len(right))
    for field in ("correct", "total"):
        assert getattr(scores["all"], field) == sum(getattr(scores[name], field) for name in CATEGORIES)


@settings(deadline=None)
@given(TAGGINGS, st.booleans())
def test_counts_by_sentence_add_up_to_the_accuracy(taggings: list[list[tuple]], star: bool):
    gold, predicted, category = (columns(taggings, number) for number in range(3))
    correct, totals = evaluation.correct_by_sentence(gold, predicted, star)
    assert correct.shape == totals.shape == (len(gold),)
    scores = evaluation.accuracy(gold, predicted, category, star)
    assert (correct.sum(), totals.sum()) == (scores["all"].correct, scores["all"].total)
    if taggings:
        first = evaluation.accuracy(gold[:1], predicted[:1], category[:1], star)["all"]
        assert (correct[0], totals[0]) == (first.correct, first.total)


def test_a_gold_tag_never_seen_in_training_counts_wrong():
    assert evaluation.accuracy([["ZZ"]], [["N"]], [["known"]])["all"] == evaluation.Accuracy(0, 1)


def test_taggings_of_different_length_are_refused():
    with pytest.raises(ValueError, match="sentence 2 has 1 tokens on one side, 2 on the other"):
        evaluation.accuracy([["N"], ["N"]], [["N"], ["N", "N"]], [["known"], ["known"]])
    with pytest.raises(ValueError, match="sentence 1 has 2"):
        evaluation.accuracy([["N", "N"]], [["N", "N"]], [["known"]])
    with pytest.raises(ValueError, match="2 sentences on one side, 1 on the other"):
        evaluation.confusion([["N"], ["N"]], [["N"]])
    with pytest.raises(ValueError, match="sentence 1"):
        evaluation.span_f1([["O"]], [[]])


def test_an_unknown_category_is_refused():
    with pytest.raises(ValueError, match="'new' is no category"):
        evaluation.accuracy([["N"]], [["N"]], [["new"]])


# Spans

LABELS = st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC", "a-b"))])
LABELINGS = st.lists(LABELS, min_size=1, max_size=12)
PAIRS = st.lists(LABELINGS.flatmap(lambda gold: st.tuples(st.just(gold), st.lists(
    LABELS, min_size=len(gold), max_size=len(gold)))), min_size=1, max_size=4)  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("O O", set()),
        ("B-PER I-PER O B-LOC", {("PER", 0, 2), ("LOC", 3, 4)}),
        ("B-PER I-PER E-PER S-LOC", {("PER", 0, 3), ("LOC", 3, 4)}),
        ("B-PER B-PER I-PER", {("PER", 0, 1), ("PER", 1, 3)}),
        ("S-PER S-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("O I-PER I-PER", {("PER", 1, 3)}),
        ("B-PER I-LOC", {("PER", 0, 1), ("LOC", 1, 2)}),
        ("E-PER E-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("S-PER I-PER", {("PER", 0, 1), ("PER", 1, 2)}),
        ("B-PER O I-PER", {("PER", 0, 1), ("PER", 2, 3)}),
        ("", set()),
    ],
)
def test_spans_by_hand(labels: str, expected: set):
    assert evaluation.spans(labels.split()) == expected


@settings(deadline=None)
@given(LABELINGS)
def test_spans_are_those_of_seqeval(labels: list[str]):
    pytest.importorskip("seqeval", reason="the extra `reference` is not installed: pip install seqeval==1.2.2")
    from seqeval.metrics.sequence_labeling import get_entities

    assert evaluation.spans(labels) == {(kind, start, last + 1) for kind, start, last in get_entities(labels)}


@settings(deadline=None)
@given(PAIRS)
def test_span_f1_is_that_of_seqeval(pairs: list[tuple[list[str], list[str]]]):
    pytest.importorskip("seqeval", reason="the extra `reference` is not installed: pip install seqeval==1.2.2")
    from seqeval.metrics import classification_report, f1_score, precision_score, recall_score

    gold, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    score, by_type = evaluation.span_f1(gold, predicted)
    if not score.predicted + score.gold:
        assert (score.precision, score.recall, score.f1, by_type) == (0, 0, 0, {})
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a ratio is undefined and taken for 0
        assert score.precision == pytest.approx(precision_score(gold, predicted))
        assert score.recall == pytest.approx(recall_score(gold, predicted))
        assert score.f1 == pytest.approx(f1_score(gold, predicted))
        report = classification_report(gold, predicted, output_dict=True)
    averages = {"micro avg", "macro avg", "weighted avg"}
    assert list(by_type) == sorted(set(report) - averages)
    for kind, one in by_type.items():
        theirs = report[kind]
        assert one.gold == theirs["support"]
        assert (one.precision, one.recall, one.f1) == pytest.approx(
            (theirs["precision"], theirs["recall"], theirs["f1-score"])
        )


@settings(deadline=None)
@given(PAIRS)
def test_no_span_crosses_a_sentence_boundary(pairs: list[tuple[list[str], list[str]]]):
    whole = evaluation.span_f1(*zip(*pairs))[0]
    one_by_one = [evaluation.span_f1([gold], [predicted])[0] for gold, predicted in pairs]
    for field in ("correct", "predicted", "gold"):
        assert getattr(whole, field) == sum(getattr(one, field) for one in one_by_one)


@settings(deadline=None)
@given(PAIRS)
def test_f1_is_the_harmonic_mean(pairs: list[tuple[list[str], list[str]]]):
    score = evaluation.span_f1(*zip(*pairs))[0]
    p, r = score.precision, score.recall
    assert score.f1 == pytest.approx(2 * p * r / (p + r) if p + r else 0)


def test_sentences_with_unlabelled_tokens_are_left_out_of_f1():
    gold = [["S-PER", None], ["S-LOC", "O"]]
    predicted = [["O", "S-PER"], ["S-LOC", "S-LOC"]]
    assert evaluation.span_f1(gold, predicted)[0] == evaluation.SpanScore(correct=1, predicted=2, gold=1)


@pytest.mark.parametrize("label", ["", "B", "B-", "X-PER", "o", "PER", "*"])
def test_labels_that_mark_no_span(label: str):
    with pytest.raises(ValueError, match="no label of a span"):
        evaluation.spans(["O", label])
    assert not evaluation.is_span_task({"O", "S-PER", label})


def test_is_span_task():
    assert evaluation.is_span_task(["O", "B-PER", "I-PER"])
    assert evaluation.is_span_task(["S-LOC"])
    assert not evaluation.is_span_task(["O"])
    assert not evaluation.is_span_task([])
    assert not evaluation.is_span_task(["N", "V", ",", "-LRB-"])


# Confusion


def test_confusion_by_hand():
    counts = evaluation.confusion([["N", "N", None], ["V", "N"]], [["N", "V", "V"], ["V", "V"]])
    assert counts == {("N", "N"): 1, ("N", "V"): 2, ("V", "V"): 1}


@settings(deadline=None)
@given(TAGGINGS)
def test_the_diagonal_of_the_confusion_is_the_accuracy(taggings: list[list[tuple]]):
    gold, predicted, category = (columns(taggings, number) for number in range(3))
    counts = evaluation.confusion(gold, predicted)
    scores = evaluation.accuracy(gold, predicted, category)["all"]
    assert counts.total() == scores.total
    assert sum(count for (g, p), count in counts.items() if g == p) == scores.correct


def test_format_confusion_shows_the_most_frequent_errors_first():
    counts = evaluation.confusion([["N"] * 9 + ["JJ"] * 4], [["N"] * 3 + ["V"] * 6 + ["N"] * 2 + ["V"] * 2])
    rows = [line.split() for line in evaluation.format_confusion(counts).splitlines()]
    assert rows == [
        ["gold", "predicted", "times", "of", "errors"],
        ["N", "V", "6", "60.0%"],
        ["JJ", "N", "2", "20.0%"],
        ["JJ", "V", "2", "20.0%"],
    ]
    assert len(evaluation.format_confusion(counts, top=1).splitlines()) == 2
    assert len({len(line) for line in evaluation.format_confusion(counts).splitlines()}) == 1
    assert len(evaluation.format_confusion(evaluation.confusion([["N"]], [["N"]])).splitlines()) == 1


# Significance


def simulated(rate: float, seed: int, sentences: int = 200, tokens: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).binomial(tokens, rate, size=sentences)


TOTALS = np.full(200, 20)


def test_interval_is_that_of_the_normal_approximation():
    correct = simulated(0.9, seed=1)
    interval = evaluation.bootstrap_interval(correct, TOTALS, samples=4000)
    error = np.std(correct / 20) / np.sqrt(200)
    assert interval.value == pytest.approx(correct.sum() / TOTALS.sum())
    assert interval.low == pytest.approx(interval.value - 1.96 * error, abs=0.1 * error)
    assert interval.high == pytest.approx(interval.value + 1.96 * error, abs=0.1 * error)


def test_longer_sentences_weigh_more():
    correct, totals = np.array([90, 0]), np.array([90, 10])
    interval = evaluation.bootstrap_interval(correct, totals, samples=500)
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.9, 0, 1))


def test_a_large_difference_is_significant_and_a_small_one_is_not():
    a, b = simulated(0.9, seed=1), simulated(0.8, seed=2)
    large = evaluation.paired_bootstrap(a, b, TOTALS, samples=1000)
    assert large.p == pytest.approx(1 / 1001) and 0 < large.low < large.value < large.high
    assert large.value == pytest.approx((a.sum() - b.sum()) / TOTALS.sum())
    small = evaluation.paired_bootstrap(simulated(0.9, seed=3), simulated(0.9, seed=4), TOTALS, samples=1000)
    assert small.p > 0.05 and small.low < 0 < small.high


def test_p_is_that_of_the_normal_approximation():
    a, b = simulated(0.9, seed=5), simulated(0.885, seed=6)
    difference = (a - b) / 20
    z = abs(difference.mean()) / (np.std(difference) / np.sqrt(200))
    above = np.abs(np.random.default_rng(0).standard_normal(100_000)) >= z
    assert 0.001 < above.mean() < 0.5
    assert evaluation.paired_bootstrap(a, b, TOTALS, samples=4000).p == pytest.approx(above.mean(), abs=0.02)


def test_pairing_finds_differences_that_intervals_hide():
    """B is A with one token fewer right in every tenth sentence: sentences differ far more than the systems do."""
    a = np.random.default_rng(7).integers(5, 19, size=200)
    b = a - (np.arange(200) % 10 == 0)
    ours, theirs = (evaluation.bootstrap_interval(system, TOTALS, samples=1000) for system in (a, b))
    assert ours.low < theirs.value < ours.high
    assert evaluation.paired_bootstrap(a, b, TOTALS, samples=1000).p < 0.01


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20), st.integers(0, 9))
def test_swapping_the_systems_turns_the_difference_round(counts: list[tuple[int, int]], seed: int):
    a, b = np.array(counts).T
    totals = np.full(len(counts), 5)
    one = evaluation.paired_bootstrap(a, b, totals, samples=100, seed=seed)
    other = evaluation.paired_bootstrap(b, a, totals, samples=100, seed=seed)
    assert (one.value, one.low, one.high, one.p) == pytest.approx((-other.value, -other.high, -other.low, other.p))
    assert one == evaluation.paired_bootstrap(a, b, totals, samples=100, seed=seed)
    assert 0 < one.p <= 1


def test_equal_systems_have_p_one():
    a = simulated(0.9, seed=8)
    same = evaluation.paired_bootstrap(a, a, TOTALS, samples=200)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_sentences_without_gold_tags_change_nothing():
    a, b = simulated(0.9, seed=9), simulated(0.88, seed=10)
    none = np.zeros(50, dtype=np.int64)
    padded = evaluation.paired_bootstrap(*(np.concatenate([none, x]) for x in (a, b, TOTALS)), samples=200)
    assert padded == evaluation.paired_bootstrap(a, b, TOTALS, samples=200)


def test_what_cannot_be_resampled_is_refused():
    one, two, none = np.array([1]), np.array([1, 1]), np.array([0])
    with pytest.raises(ValueError, match="no sentence has a token"):
        evaluation.bootstrap_interval(none, none)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        evaluation.bootstrap_interval(one, one, samples=0)
    shape_error = (ValueError, TypeError)  # TypeError where jaxtyping looks at the shapes first
    with pytest.raises(shape_error):
        evaluation.paired_bootstrap(one, two, two)
    with pytest.raises(shape_error):
        evaluation.paired_bootstrap(two, two, one)
