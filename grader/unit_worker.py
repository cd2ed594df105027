"""Calls the graded functions of a submission, inside the sandbox: inputs from a JSON file, answers to JSON files.

    python -I unit_worker.py CALLS.json      in the submission's code/

Nothing that is right is known here. Each test runs in a process of its own, a fork of this one, so a crash loses only
its own test; torch is imported once, before any file of the submission could take its name. Answers are nested lists;
infinite numbers are written by name.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import traceback

import torch

LONGEST_ERROR = 300


def tensor(value):
    """Nested lists of numbers, or of "-inf", as a tensor in float64."""

    def numbers(item):
        return [numbers(each) for each in item] if isinstance(item, list) else float(item)

    return torch.tensor(numbers(value), dtype=torch.float64)


def plain(value):
    """An answer as JSON has it."""
    if isinstance(value, torch.Tensor):
        return plain(value.detach().cpu().to(torch.float64).tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return str(value)
    number = float(value)
    return number if math.isfinite(number) else str(number)


# Adapters: from a case to a call, and from what it returns to names. A submission of another shape needs others.


def logsumexp_safe(case):
    from logsumexp_safe import logsumexp_safe

    x = tensor(case["x"]).requires_grad_()
    value = logsumexp_safe(x, dim=case["dim"])
    (gradient,) = torch.autograd.grad(value, x, tensor(case["weights"]))
    return dict(value=value, gradient=gradient)


def logaddexp_safe(case):
    from logsumexp_safe import logaddexp_safe

    x, y = tensor(case["x"]).requires_grad_(), tensor(case["y"]).requires_grad_()
    value = logaddexp_safe(x, y)
    by_x, by_y = torch.autograd.grad(value, (x, y), tensor(case["weights"]))
    return dict(value=value, by_x=by_x, by_y=by_y)


def linear_chain(case):
    from chain import LinearChain

    parts = (tensor(case[name]) for name in ("start", "emit", "trans", "stop"))
    return LinearChain(*parts, torch.tensor(case["lengths"]))


def forward(case):
    import chain

    return dict(log_alpha=chain.forward(linear_chain(case)))


def backward(case):
    import chain

    return dict(log_beta=chain.backward(linear_chain(case)))


def viterbi(case):
    import chain

    return dict(tags=chain.viterbi(linear_chain(case)))


def counts_by_backprop(case):
    import chain

    trans, tags = chain.counts_by_backprop(linear_chain(case))
    return dict(trans=trans, tags=tags)


TAGS = ["D", "N", "V"]


def make(module, name, case, vectors=None, **sizes):
    """A model of the case's words (or vectors) and tags, in float64, its parameters those of the case."""
    import importlib

    import hmm
    from integerize import Integerizer
    from lexicon import Lexicon
    from word_vectors import WordVectors

    pretrained = [WordVectors(vectors["rows"], tensor(vectors["matrix"]).float())] if vectors else []
    lexicon = Lexicon(dict.fromkeys(case["words"], 2), vectors=pretrained)
    m_step, hmm.HiddenMarkovModel.m_step = hmm.HiddenMarkovModel.m_step, lambda *arguments, **more: None
    try:  # an HMM draws its first parameters by its m_step, which is another test
        model = getattr(importlib.import_module(module), name)(Integerizer(TAGS), lexicon, **sizes)
    finally:
        hmm.HiddenMarkovModel.m_step = m_step
    model = model.double().eval()
    with torch.no_grad():
        for parameter, value in case.get("parameters", {}).items():
            model.get_parameter(parameter).copy_(tensor(value))
        if vectors:
            block = model.lexicon.blocks[0]
            block.matrix.copy_(tensor(vectors["matrix"]))
            block.oov.copy_(block.matrix[block.ool])
    return model


def batch_of(model, case):
    from corpus import IntegerizedCorpus, Sentence

    names = [None if tag < 0 else TAGS[tag] for text in case["sentences"] for tag in text["observed"]]
    texts, start = [], 0
    for text in case["sentences"]:
        texts.append(Sentence(tuple(text["words"]), tuple(names[start : start + len(text["words"])])))
        start += len(text["words"])
    return IntegerizedCorpus(texts, model.lexicon.vocab, model.tagset).batch(torch.arange(len(texts)))


def hmm_e_step(case):
    model = make("hmm", "HiddenMarkovModel", case)
    counts, log_likelihood = model.e_step(batch_of(model, case))
    return {**{name: getattr(counts, name) for name in COUNTS}, "log_likelihood": log_likelihood}


COUNTS = ("start", "trans", "stop", "emission")


def hmm_m_step(case):
    from hmm import Counts

    model = make("hmm", "HiddenMarkovModel", case)
    model.m_step(Counts(*(tensor(case["counts"][name]) for name in COUNTS)), case["smoothing"])
    return {name: model.get_parameter(name) for name in COUNTS}


def crf_gradient(case):
    model = make("crf", "ConditionalRandomField", case)
    gradient, logprob = model.gradient(batch_of(model, case))
    return {**{name: gradient[name] for name in COUNTS}, "logprob": logprob}


def add_gradient(case):
    model = make("crf_backprop", "ConditionalRandomFieldBackprop", case)
    loss = model.add_gradient(batch_of(model, case), case["reg"], case["N"])
    return {**{name: model.get_parameter(name).grad for name in COUNTS}, "loss": loss}


def emission_weights(case):
    model = make("crf_backprop", "ConditionalRandomFieldBackprop", case, case["vectors"])
    with torch.no_grad():
        model.emission.copy_(tensor(case["emission"]))
        return dict(weights=model.emission_weights(model.lexicon.features(batch_of(model, case))))


def neural(case):
    return make("crf_neural", "ConditionalRandomFieldNeural", case, case["vectors"], **case["sizes"])


def context(case):
    model = neural(case)
    batch = batch_of(model, case)
    prefix, suffix = model.context(model.lexicon.features(batch, ends=True), batch)
    return dict(prefix=prefix, suffix=suffix)


def transition_potentials(case):
    model = neural(case)
    potentials = model.transition_potentials(tensor(case["prefix"]), tensor(case["suffix"]), batch_of(model, case))
    return dict(zip(("start", "trans", "stop"), potentials))


def emission_potentials(case):
    model = neural(case)
    words = model.lexicon.features(batch_of(model, case), ends=True)
    return dict(emit=model.emission_potentials(tensor(case["prefix"]), tensor(case["suffix"]), words))


def problex(case):
    from lexicon import problex

    return dict(rows=problex(tensor(case["counts"])))


def affixes(case):
    from lexicon import affixes

    return dict(affixes=[list(affixes(word)) for word in case["words"]])


# Running


def answer(test, cases):
    """The answers to the cases of one test, or what went wrong."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    try:
        return {"answers": [plain(globals()[test](case)) for case in cases]}
    except BaseException as error:  # SystemExit too: the next test still runs
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"[:LONGEST_ERROR]}


def in_fork(test, cases, name, seconds):
    """One test in a process of its own, ended after so many seconds."""
    child = os.fork()
    if child == 0:
        try:
            sys.path.insert(0, os.getcwd())
            text = json.dumps(answer(test, cases), allow_nan=False)
            with open(name, "w") as file:
                file.write(text)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    end = time.monotonic() + seconds
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            with open(name, "w") as file:
                file.write('{"late": 1}')
            return
        time.sleep(0.01)


def main():
    with open(sys.argv[1]) as file:
        calls = json.load(file)
    for test in calls["tests"]:
        print(f"[{test['name']}]", flush=True)
        in_fork(test["name"], test["cases"], test["answer"], calls["seconds"])


if __name__ == "__main__":
    main()
