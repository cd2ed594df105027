"""Evaluation: how good taggings are, measured against gold tags.

Pure functions of taggings, that is of lists of tags, one list a sentence; and, last, the cross-entropy of a model.

- Accuracy: correct tokens / tokens, over all tokens and over those of known, seen and novel words (see lexicon.py).
- Span F1, for named entities: a predicted span is correct if type, start and end all agree with a gold one; precision
  P = correct / predicted, recall R = correct / gold, F1 = 2PR / (P + R), over all spans of all sentences (micro).
- Confusion: how often gold tag g was tagged as p.
- Cross-entropy: -log p(tags | words) a token; the end of a sentence counts as one.
- Significance: the bootstrap over sentences. N sentences are drawn with replacement from the N that there are, the
  measure is computed on the draw, and this again and again: how it varies over draws is taken for how it would vary
  over test sets.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from chain import ImpossibleError
from corpus import IntegerizedCorpus
from tagger import Tagger

BATCH = 64  # sentences at once
CATEGORIES = ("known", "seen", "novel")
STAR = "*"  # the tag that stands for all the rare ones where a tag set was cut down (pairs*)

Tags = Sequence[Sequence[str]]
GoldTags = Sequence[Sequence[str | None]]
Span = tuple[str, int, int]


def require_same_shape(gold: Sequence[Sequence], *others: Sequence[Sequence]) -> None:
    """Raise ValueError, naming the first sentence in which two taggings differ in length."""
    for other in others:
        if len(gold) != len(other):
            raise ValueError(f"{len(gold)} sentences on one side, {len(other)} on the other")
        for number, (one, two) in enumerate(zip(gold, other), start=1):
            if len(one) != len(two):
                raise ValueError(f"sentence {number} has {len(one)} tokens on one side, {len(two)} on the other")


# Accuracy


@dataclass(frozen=True)
class Accuracy:
    """Tokens tagged right, and tokens that have a gold tag."""

    correct: int
    total: int

    @property
    def fraction(self) -> float | None:
        """Between 0 and 1; None where there is no token."""
        return self.correct / self.total if self.total else None


def is_correct(gold: str | None, predicted: str, star_is_wrong: bool) -> bool:
    return gold == predicted and not (star_is_wrong and gold == STAR)


def accuracy(
    gold: GoldTags, predicted: Tags, category: Sequence[Sequence[str]], star_is_wrong: bool = False
) -> dict[str, Accuracy]:
    """Accuracy over all tokens and by what is known of the word.

    Args:
        gold: gold tags; None where a token has none, and then it is not counted.
        predicted: the tagger's tags.
        category: "known", "seen" or "novel" for each token.
        star_is_wrong: a gold `*` counts as wrong whatever is predicted: it says that the tag is a rare one, not which.

    Returns:
        An Accuracy for each of "all", "known", "seen", "novel".

    Raises:
        ValueError: the taggings differ in length (naming the sentence), or a category is none of the three.
    """
    require_same_shape(gold, predicted, category)
    # Counting the distinct triples first keeps the Python loop short: there are few of them and many tokens.
    triples = Counter(itertools.chain.from_iterable(map(zip, gold, predicted, category)))
    correct: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for (gold_tag, predicted_tag, kind), count in triples.items():
        if kind not in CATEGORIES:
            raise ValueError(f"{kind!r} is no category of words; they are {', '.join(CATEGORIES)}")
        if gold_tag is not None:
            total[kind] += count
            correct[kind] += count * is_correct(gold_tag, predicted_tag, star_is_wrong)
    return {
        "all": Accuracy(correct.total(), total.total()),
        **{kind: Accuracy(correct[kind], total[kind]) for kind in CATEGORIES},
    }


def correct_by_sentence(
    gold: GoldTags, predicted: Tags, star_is_wrong: bool = False
) -> tuple[Int[np.ndarray, "N"], Int[np.ndarray, "N"]]:
    """For each sentence, the tokens tagged right and the tokens that have a gold tag: what the bootstrap draws from.

    Raises:
        ValueError: the taggings differ in length (naming the sentence).
    """
    require_same_shape(gold, predicted)
    correct = [sum(is_correct(g, p, star_is_wrong) for g, p in zip(*pair)) for pair in zip(gold, predicted)]
    total = [sum(tag is not None for tag in sentence) for sentence in gold]
    return np.array(correct, dtype=np.int64), np.array(total, dtype=np.int64)


# Spans


def is_span_label(label: str) -> bool:
    """`O`, or `B-`, `I-`, `E-`, `S-` before a type."""
    return label == "O" or (label[:2] in ("B-", "I-", "E-", "S-") and len(label) > 2)


def is_span_task(tagset: Collection[str]) -> bool:
    """Whether these tags are labels of spans: nothing but `O` and prefixed types, and at least one of the latter."""
    return all(map(is_span_label, tagset)) and any(tag != "O" for tag in tagset)


def spans(labels: Sequence[str]) -> set[Span]:
    """The spans that BIO or BIOES labels of one sentence mark, as (type, start, end): tokens start to end - 1.

    Malformed ones mark spans too, by the rules of conlleval and of seqeval's default mode: a label goes on with the
    span before it if it is I- or E-, the label before it is B- or I-, and the types agree; any other but O starts one.

    Raises:
        ValueError: a label is neither O nor a prefixed type.
    """
    found: set[Span] = set()
    previous, start = "O", 0
    for position, label in enumerate([*labels, "O"]):
        if not is_span_label(label):
            raise ValueError(f"{label!r} is no label of a span (O, or B- I- E- S- before a type)")
        if previous[0] in "BI" and label[0] in "IE" and previous[2:] == label[2:]:
            previous = label
            continue
        if previous != "O":
            found.add((previous[2:], start, position))
        previous, start = label, position
    return found


@dataclass(frozen=True)
class SpanScore:
    """Spans found rightly, found at all, and to be found. A ratio whose denominator is 0 is 0, as in conlleval."""

    correct: int
    predicted: int
    gold: int

    @property
    def precision(self) -> float:
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """2PR / (P + R), which is 2 correct / (predicted + gold)."""
        return 2 * self.correct / (self.predicted + self.gold) if self.predicted + self.gold else 0.0


def span_f1(gold: GoldTags, predicted: Tags) -> tuple[SpanScore, dict[str, SpanScore]]:
    """Micro-averaged span scores over all sentences, and those of each type of span (sorted by type).

    No span crosses a sentence boundary. A sentence with a token that has no gold label is left out.

    Raises:
        ValueError: the taggings differ in length (naming the sentence), or a label is no span label.
    """
    require_same_shape(gold, predicted)
    correct: Counter[str] = Counter()
    found: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for gold_labels, predicted_labels in zip(gold, predicted):
        if None not in gold_labels:
            gold_spans, predicted_spans = spans(gold_labels), spans(predicted_labels)
            correct.update(kind for kind, _, _ in gold_spans & predicted_spans)
            found.update(kind for kind, _, _ in predicted_spans)
            wanted.update(kind for kind, _, _ in gold_spans)
    by_type = {kind: SpanScore(correct[kind], found[kind], wanted[kind]) for kind in sorted({*found, *wanted})}
    return SpanScore(correct.total(), found.total(), wanted.total()), by_type


# Confusion


def confusion(gold: GoldTags, predicted: Tags) -> Counter[tuple[str, str]]:
    """How often each (gold tag, predicted tag) occurs; tokens without a gold tag are not counted.

    Raises:
        ValueError: the taggings differ in length (naming the sentence).
    """
    require_same_shape(gold, predicted)
    pairs = Counter(itertools.chain.from_iterable(map(zip, gold, predicted)))
    return Counter({(gold_tag, tag): count for (gold_tag, tag), count in pairs.items() if gold_tag is not None})


def format_confusion(counts: Counter[tuple[str, str]], top: int = 10) -> str:
    """A table of the `top` most frequent confusions: how often, and the share of all errors that this is."""
    errors = {pair: count for pair, count in counts.items() if pair[0] != pair[1]}
    worst = sorted(errors, key=lambda pair: (-errors[pair], pair))[:top]
    width = max(map(len, [*itertools.chain.from_iterable(worst), "predicted"]))
    lines = [f"{'gold':{width}}  {'predicted':{width}}  {'times':>6}  of errors"]
    for gold_tag, tag in worst:
        count = errors[gold_tag, tag]
        lines.append(f"{gold_tag:{width}}  {tag:{width}}  {count:>6}  {count / sum(errors.values()):>9.1%}")
    return "\n".join(lines)


# Significance


@dataclass(frozen=True)
class Interval:
    """A measured value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """Of two systems, with the p-value that `paired_bootstrap` defines."""

    p: float


def resample(
    counts: Int[np.ndarray, "N"], totals: Int[np.ndarray, "N"], samples: int, seed: int
) -> tuple[Interval, Float[np.ndarray, "samples"]]:
    """sum(counts) / sum(totals) over sentences, with its 95 % percentile interval, and its value on each draw.

    Raises:
        ValueError: the arrays differ in length, no sentence has a token to count, or `samples` is not positive.
    """
    if len(counts) != len(totals):
        raise ValueError(f"counts of {len(counts)} sentences, totals of {len(totals)}")
    if samples < 1:
        raise ValueError(f"samples must be at least 1, not {samples}")
    counts, totals = counts[totals > 0], totals[totals > 0]
    if not len(totals):
        raise ValueError("no sentence has a token to count")
    generator = np.random.default_rng(seed)
    drawn = np.empty(samples)
    for number in range(samples):
        sentences = generator.integers(len(totals), size=len(totals))
        drawn[number] = counts[sentences].sum() / totals[sentences].sum()
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(counts.sum() / totals.sum()), float(low), float(high)), drawn


def bootstrap_interval(
    correct: Int[np.ndarray, "N"], totals: Int[np.ndarray, "N"], samples: int = 10_000, seed: int = 0
) -> Interval:
    """Accuracy with its 95 % percentile interval (Efron and Tibshirani 1993, chapter 13) over draws of sentences.

    Args:
        correct, totals: tokens tagged right and tokens counted, by sentence (`correct_by_sentence`).

    Raises:
        ValueError: as `resample`.
    """
    return resample(correct, totals, samples, seed)[0]


def paired_bootstrap(
    correct_a: Int[np.ndarray, "N"],
    correct_b: Int[np.ndarray, "N"],
    totals: Int[np.ndarray, "N"],
    samples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Accuracy of A minus accuracy of B; each draw takes both systems' taggings of the sentences drawn.

    With d the difference measured and d* the difference on a draw, the p-value is the share of draws in which
    |d* - d| >= |d|: how often chance, centred on no difference, would show one at least as large, in either direction.
    It is the two-sided form of Berg-Kirkpatrick, Burkett and Klein (2012), d* > 2d; where the draws lie symmetrically
    around d it is twice the share of draws in which the better system loses (Koehn 2004). The sample itself counts as
    one draw, so p is never below 1 / (samples + 1).

    Args:
        correct_a, correct_b, totals: tokens tagged right by A, by B, and tokens counted, by sentence.

    Raises:
        ValueError: as `resample`.
    """
    if len(correct_a) != len(correct_b):
        raise ValueError(f"{len(correct_a)} sentences of A, {len(correct_b)} of B")
    measured, drawn = resample(correct_a - correct_b, totals, samples, seed)
    # Differences that are equal as fractions may differ by rounding as floats.
    as_large = int((np.abs(drawn - measured.value) >= abs(measured.value) - 1e-12).sum())
    return Difference(**asdict(measured), p=(as_large + 1) / (samples + 1))


# Of a model


class CrossEntropy(NamedTuple):
    """Nats a token, EOS counted.

    Attributes:
        joint: -log p(tags | words) for a CRF, -log p(tags, words) for an HMM; what training watches.
        conditional: -log p(tags | words) for every model, so that models compare.
    """

    joint: float
    conditional: float

    @property
    def perplexity(self) -> float:
        return math.exp(self.joint) if self.joint < 700 else math.inf


@torch.no_grad()
def cross_entropy(tagger: Tagger, corpus: IntegerizedCorpus) -> CrossEntropy:
    """The cross-entropy of a model on a corpus. Unobserved tags are summed over; inf where a sentence is impossible."""
    joint = conditional = 0.0
    device = next(tagger.parameters()).device
    for sentences in corpus.by_length(BATCH):
        batch = corpus.batch(sentences).to(device)
        chain = tagger(batch)
        score, log_z = chain.score(batch.tags, partial=True).double(), chain.log_partition.double()
        of_tags = torch.where(score == -math.inf, -math.inf, score - log_z).sum().item()
        conditional -= of_tags
        joint -= score.sum().item() if tagger.generative else of_tags
    events = corpus.tokens + len(corpus)
    return CrossEntropy(joint / events, conditional / events)


@torch.no_grad()
def viterbi_error(tagger: Tagger, corpus: IntegerizedCorpus) -> float:
    """The share of the observed tags that the most probable taggings miss; a `*` is always missed (see `accuracy`)."""
    wrong = observed = 0
    star = tagger.tagset.index(STAR)
    device = next(tagger.parameters()).device
    for sentences in corpus.by_length(BATCH):
        batch = corpus.batch(sentences).to(device)
        seen = batch.tags >= 0
        try:
            missed = tagger(batch).argmax != batch.tags
            if star is not None:
                missed |= batch.tags == star
            wrong += int((missed & seen).sum())
        except ImpossibleError:  # at least one has no tagging: then all of this batch count as missed
            wrong += int(seen.sum())
        observed += int(seen.sum())
    return wrong / max(1, observed)
