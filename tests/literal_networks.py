"""The networks of networks.py as their formulas stand: one sentence, loops, float64, nothing of the code under test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Parameters = Mapping[str, Array]


def below(theta: Parameters, prefix: str) -> dict[str, Array]:
    """The parameters whose names begin so, under the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in theta.items() if name.startswith(prefix)}


def sigma(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm_step(theta: Parameters, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """The rows of the weights are the gates i, f, g, o."""
    z = theta["weight_ih"] @ x + theta["bias_ih"] + theta["weight_hh"] @ h + theta["bias_hh"]
    i, f, g, o = np.split(z, 4)
    c = sigma(f) * c + sigma(i) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


def lstm(theta: Parameters, inputs: Sequence[Array]) -> list[Array]:
    """The state after each input; before the first one state and cell are 0."""
    theta = {name.removesuffix("_l0"): value for name, value in theta.items()}
    h = c = np.zeros(theta["weight_hh"].shape[1])
    states = []
    for x in inputs:
        h, c = lstm_step(theta, x, h, c)
        states.append(h)
    return states


def blstm_states(theta: Parameters, words: Sequence[Array]) -> list[Array]:
    """s_t of the top layer."""
    layers = {name.split(".")[1] for name in theta if name.startswith("layers.")}
    states = list(words)
    for number in range(len(layers)):
        rightward = lstm(below(theta, f"layers.{number}.rightward."), states)
        leftward = lstm(below(theta, f"layers.{number}.leftward."), states[::-1])[::-1]
        states = [np.concatenate(pair) for pair in zip(rightward, leftward)]
    return states


def linear(theta: Parameters, x: Array) -> Array:
    return theta["weight"] @ x + theta.get("bias", 0.0)


def blstm(theta: Parameters, words: Sequence[Array]) -> Array:
    """logits_t = V s_t + c."""
    return np.array([linear(below(theta, "output."), s) for s in blstm_states(theta, words)])


def cnn(theta: Parameters, words: Sequence[Array]) -> Array:
    """logits_t = V [f_0(t); f_w(t)] + c, f_w(t) = relu(W_w [x_{t-w}; ...; x_{t+w}] + b_w)."""
    n, e = len(words), len(words[0])
    logits = []
    for t in range(n):
        features = []
        for number in (0, 1):
            W, b = theta[f"convolutions.{number}.weight"], theta[f"convolutions.{number}.bias"]  # W: [H, e, 2w + 1]
            w = W.shape[2] // 2
            window = [words[t + o] if 0 <= t + o < n else np.zeros(e) for o in range(-w, w + 1)]
            features.append(np.maximum(sum(W[:, :, o] @ x for o, x in enumerate(window)) + b, 0))
        logits.append(linear(below(theta, "output."), np.concatenate(features)))
    return np.array(logits)


def seq2seq(theta: Parameters, words: Sequence[Array], fed: Sequence[int] | None = None, soft: bool = False) -> Array:
    """logits_t = V s_t + U h_t + c; the decoder reads the labels `fed`, or else (or at a -1) its own, or, `soft`, the
    mean of all embeddings under its softmax."""
    labels, decoder = theta["labels.weight"], below(theta, "decoder.")
    h = c = np.zeros(labels.shape[1])
    read = labels[-1]
    logits = []
    for t, of_encoder in enumerate(blstm(theta, words)):
        h, c = lstm_step(decoder, read, h, c)
        logits.append(of_encoder + linear(below(theta, "of_decoder."), h))
        if fed is not None and fed[t] >= 0:
            read = labels[fed[t]]
        elif soft:
            read = sum(p * labels[y] for y, p in enumerate(np.exp(log_softmax(logits[-1]))))
        else:
            read = labels[int(np.argmax(logits[-1]))]
    return np.array(logits)


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
