"""Unit tests of the models, the trusted side: HMM, CRFs and biRNN-CRF of a few words and three tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from grader.cases import Case, Draw, padded
from grader.enumerate import Array, Counts, Tables, log_sum

WORDS = ["the", "dog", "Mary", "runs", "far"]
TEXT = ["the", "dog", "Mary", "runs", "far", "The", "DOG", "zebra", "mary"]

# Models of one-hot words


def look_up(word: str) -> int:
    """The row of a one-hot word: OOV, BOS and EOS come first; as it is, then lower-cased."""
    return next((3 + WORDS.index(each) for each in (word, word.lower()) if each in WORDS), 0)


def sentences(draw: Draw, hidden: float) -> list[dict[str, Any]]:
    """Words, and tags of which about `hidden` are None (-1 in `observed`)."""
    found = []
    for length in (3, 1, 4):
        words = [str(word) for word in draw.choice(TEXT, size=length)]
        observed = np.where(draw.uniform(size=length) < hidden, -1, draw.integers(3, size=length)).tolist()
        found.append(dict(words=words, observed=observed))
    return found


def weights(draw: Draw) -> dict[str, Array]:
    return dict(start=draw.normal(size=3), trans=draw.normal(size=(3, 3)), stop=draw.normal(size=3),
                emission=draw.normal(size=(3 + len(WORDS), 3)))  # fmt: skip


def tables_of(parameters: Mapping[str, Array], words: Sequence[str]) -> Tables:
    emit = parameters["emission"][[look_up(word) for word in words]]
    trans = np.broadcast_to(parameters["trans"], (len(words) - 1, 3, 3))
    return Tables(parameters["start"], emit, trans, parameters["stop"])


def summed(counts: Sequence[Counts], texts: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """Counts of several sentences, those of tags by the rows of their words."""
    emission = np.zeros((3 + len(WORDS), 3))
    for each, text in zip(counts, texts):
        for word, row in zip(text["words"], each.tags):
            emission[look_up(word)] += row
    total = {name: sum(getattr(each, name) for each in counts) for name in ("start", "trans", "stop")}
    return {**total, "emission": emission}


def log_probabilities(draw: Draw) -> dict[str, Array]:
    """Random parameters of an HMM."""
    made = {name: np.exp(value) for name, value in weights(draw).items()}
    onward = made["trans"].sum(axis=1) + made["stop"]
    made["emission"][1:3] = 0.0
    made = dict(start=made["start"] / made["start"].sum(), trans=made["trans"] / onward[:, None],
                stop=made["stop"] / onward, emission=made["emission"] / made["emission"].sum(axis=0))  # fmt: skip
    with np.errstate(divide="ignore"):
        return {name: np.log(value) for name, value in made.items()}


def hmm_e_step(draw: Draw) -> list[Case]:
    cases = []
    for hidden in (1.0, 0.4):
        parameters, texts = log_probabilities(draw), sentences(draw, hidden)
        tables = [tables_of(parameters, text["words"]) for text in texts]
        counts = summed([table.counts(text["observed"]) for table, text in zip(tables, texts)], texts)
        total = sum(log_sum(table.agreeing(text["observed"])[1]) for table, text in zip(tables, texts))
        right = {**counts, "log_likelihood": np.array(float(total))}
        cases.append(Case(dict(words=WORDS, parameters=parameters, sentences=texts), right))
    return cases


def hmm_m_step(draw: Draw) -> list[Case]:
    cases = []
    for smoothing in (0.0, 0.3):
        counts = {name: np.round(np.exp(value), 2) for name, value in weights(draw).items()}
        counts["emission"][1:3] = 0.0
        counts["trans"][0, 1] = counts["emission"][4, 2] = 0.0
        raised = {name: value + smoothing for name, value in counts.items()}
        raised["emission"][1:3] = 0.0
        onward = raised["trans"].sum(axis=1) + raised["stop"]
        p = dict(start=raised["start"] / raised["start"].sum(), trans=raised["trans"] / onward[:, None],
                 stop=raised["stop"] / onward,
                 emission=raised["emission"] / raised["emission"].sum(axis=0))  # fmt: skip
        with np.errstate(divide="ignore"):
            right = {name: np.log(value) for name, value in p.items()}
        cases.append(Case(dict(words=WORDS, counts=counts, smoothing=smoothing), right))
    return cases


def surplus(parameters: Mapping[str, Array], texts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Array], float]:
    """Observed minus expected counts, and the log-probability of what is observed, summed over sentences."""
    tables = [tables_of(parameters, text["words"]) for text in texts]
    observed = summed([table.counts(text["observed"]) for table, text in zip(tables, texts)], texts)
    expected = summed([table.counts([-1] * table.n) for table in tables], texts)
    logprob = sum(table.log_conditional(text["observed"]) for table, text in zip(tables, texts))
    return {name: observed[name] - expected[name] for name in observed}, logprob


def crf_gradient(draw: Draw) -> list[Case]:
    cases = []
    for hidden in (0.0, 0.4):
        parameters, texts = weights(draw), sentences(draw, hidden)
        texts[0]["observed"][:2] = [1, 2]  # not all hidden
        gradient, logprob = surplus(parameters, texts)
        inputs = dict(words=WORDS, parameters=parameters, sentences=texts)
        cases.append(Case(inputs, {**gradient, "logprob": np.array(logprob)}))
    return cases


def add_gradient(draw: Draw) -> list[Case]:
    """Of the loss: the mean of -logprob, and reg |theta|^2 / N."""
    reg, N = 0.7, 12
    parameters, texts = weights(draw), sentences(draw, 0.0)
    gradient, logprob = surplus(parameters, texts)
    of_loss = {name: -value / len(texts) + 2 * reg / N * parameters[name] for name, value in gradient.items()}
    norm = sum(float((value**2).sum()) for value in parameters.values())
    loss = np.array(-logprob / len(texts) + reg / N * norm)
    inputs = dict(words=WORDS, parameters=parameters, sentences=texts, reg=reg, N=N)
    return [Case(inputs, {**of_loss, "loss": loss})]


# Models of word vectors


def lexicon(draw: Draw) -> tuple[dict[str, Any], Callable[[str], Array]]:
    """A pretrained lexicon of 4 dimensions, and its look-up: as it is, then lower-cased, then OOL."""
    rows = ["OOL", "the", "BOS", "dog", "runs", "EOS", "mary"]
    matrix = draw.normal(size=(len(rows), 4))

    def vector(word: str) -> Array:
        ordinary = [row for row in rows if row not in ("OOL", "BOS", "EOS")]
        found = next((each for each in (word, word.lower()) if each in ordinary), "OOL")
        return matrix[rows.index(word if word in ("BOS", "EOS") else found)]

    return dict(rows=rows, matrix=matrix), vector


def emission_weights(draw: Draw) -> list[Case]:
    vectors, vector = lexicon(draw)
    texts, emission = sentences(draw, 1.0), draw.normal(size=(4, 3))
    right = padded([np.array([vector(word) @ emission for word in text["words"]]) for text in texts], 4)
    return [Case(dict(words=WORDS, vectors=vectors, sentences=texts, emission=emission), dict(weights=right))]


def sigma(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def neural(draw: Draw) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], Callable[[str], Array]]:
    """Inputs, parameters, sentences and look-up of a biRNN-CRF of d = 2."""
    vectors, vector = lexicon(draw)
    d, e, tag_dim, k = 2, 4, 2, 3
    sizes = dict(rnn_dim=d, transition_features=3, emission_features=4, tag_dim=tag_dim)
    shapes = dict(M=(d, 1 + d + e), M_=(d, 1 + e + d), U_A=(3, 1 + 2 * d + 2 * tag_dim),
                  U_B=(4, 1 + 2 * d + tag_dim + e), theta_A=(3,), theta_B=(4,), tags=(k + 2, tag_dim))  # fmt: skip
    parameters = {name: draw.normal(size=shape) for name, shape in shapes.items()}
    texts = sentences(draw, 1.0)
    return (
        dict(words=WORDS, vectors=vectors, sizes=sizes, parameters=parameters, sentences=texts),
        parameters,
        texts,
        vector,
    )


def context(draw: Draw) -> list[Case]:
    """Eq. 46: prefix[i-1] = h_{i-2} and suffix[i-1] = h'_i, for i = 1 ... n+1."""
    inputs, p, texts, vector = neural(draw)
    prefixes, suffixes = [], []
    for text in texts:
        w = [vector(word) for word in ("BOS", *text["words"], "EOS")]
        n = len(text["words"])
        h = {-1: np.zeros(2)}
        for j in range(n):
            h[j] = sigma(p["M"] @ np.concatenate([[1.0], h[j - 1], w[j]]))
        h_ = {n + 1: np.zeros(2)}
        for j in range(n + 1, 1, -1):
            h_[j - 1] = sigma(p["M_"] @ np.concatenate([[1.0], w[j], h_[j]]))
        prefixes.append(np.array([h[i - 2] for i in range(1, n + 2)]))
        suffixes.append(np.array([h_[i] for i in range(1, n + 2)]))
    return [Case(inputs, dict(prefix=padded(prefixes, 5), suffix=padded(suffixes, 5)))]


def contexts(draw: Draw) -> dict[str, Array]:
    """Any states, so that potentials are tested without what computes them."""
    return dict(prefix=draw.uniform(size=(3, 5, 2)), suffix=draw.uniform(size=(3, 5, 2)))


def transition_potentials(draw: Draw) -> list[Case]:
    """Eqs. 45 and 47, of which BOS is tag k and EOS tag k+1."""
    inputs, p, texts, _ = neural(draw)
    given = contexts(draw)
    k, start, trans, stop = 3, [], [], []

    def log_phi(b: int, i: int, s: int, t: int) -> float:
        prefix, suffix = given["prefix"][b, i - 1], given["suffix"][b, i - 1]
        return p["theta_A"] @ sigma(p["U_A"] @ np.concatenate([[1.0], prefix, p["tags"][s], p["tags"][t], suffix]))

    for b, text in enumerate(texts):
        n = len(text["words"])
        start.append([log_phi(b, 1, k, t) for t in range(k)])
        stop.append([log_phi(b, n + 1, s, k + 1) for s in range(k)])
        inside = [[[log_phi(b, i, s, t) for t in range(k)] for s in range(k)] for i in range(2, n + 1)]
        trans.append(np.array(inside).reshape(n - 1, k, k))
    right = dict(start=np.array(start), trans=padded(trans, 3), stop=np.array(stop))
    return [Case({**inputs, **given}, right)]


def emission_potentials(draw: Draw) -> list[Case]:
    """Eqs. 45 and 48."""
    inputs, p, texts, vector = neural(draw)
    given = contexts(draw)
    rows = []
    for b, text in enumerate(texts):
        of_text = []
        for i, word in enumerate(text["words"], start=1):
            ends = given["prefix"][b, i], given["suffix"][b, i - 1]
            brackets = [np.concatenate([[1.0], ends[0], p["tags"][t], vector(word), ends[1]]) for t in range(3)]
            of_text.append([p["theta_B"] @ sigma(p["U_B"] @ bracket) for bracket in brackets])
        rows.append(np.array(of_text))
    return [Case({**inputs, **given}, dict(emit=padded(rows, 4)))]
