"""The shapes and types that the annotations of code/ promise, checked while every public function runs once.

The check is jaxtyping's import hook with typeguard, which has to be there before the modules are imported: so the
exercise, which is this file run as a program, gets a process of its own.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import pytest

CODE = Path(__file__).resolve().parent.parent / "code"
LINES = ["the/D dog/N barks/V", "a/D cat/N saw/V the/D dog/N", "dog/N", "the/D dog barks/V", "cats sleep"]


def modules() -> list[str]:
    """Those of code/ but tag.py, which is tested as a user runs it."""
    return sorted(path.stem for path in CODE.glob("*.py") if path.stem not in ("tag", "runtime", "options"))


def exercise() -> None:
    """Every public function, with the hook in place."""
    exercise_logsumexp()
    exercise_corpus()
    exercise_lexicon()
    exercise_chain()
    exercise_models()
    exercise_evaluation()
    exercise_training()


def exercise_logsumexp() -> None:
    import torch

    from logsumexp_safe import logaddexp_safe, logsumexp_safe

    x = torch.tensor([[0.0, -torch.inf], [-torch.inf, -torch.inf]], requires_grad=True)
    logsumexp_safe(x, dim=1).sum().backward()
    logaddexp_safe(x, x.T).sum().backward()
    torch.logsumexp(x, 1, safe_inf=True)


def small_corpus(training: bool = True):
    """The integerized corpus of LINES, and a lexicon with every kind of word features."""
    import torch

    from corpus import IntegerizedCorpus, parse_sentence
    from integerize import Integerizer
    from lexicon import Lexicon
    from word_vectors import WordVectors

    sentences = [parse_sentence(line, "test") for line in LINES]
    words = ["OOL", "BOS", "EOS", "the", "dog"]
    vectors = [WordVectors(words, torch.randn(5, 3))]
    lexicon = Lexicon.from_corpus(sentences, vectors, one_hot=True, tag_frequencies=True, word_shapes=True)
    return IntegerizedCorpus(sentences, lexicon.vocab, Integerizer(["D", "N", "V"]), training), lexicon


def exercise_corpus() -> None:
    import torch

    from corpus import decode_lines, parse_corpus, read_corpus, write_corpus
    from integerize import Integerizer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts"
        write_corpus(path, parse_corpus(LINES, "test"))
        assert parse_corpus(decode_lines(path.read_bytes(), "test"), "test") == read_corpus(path)
        read_corpus(str(path), untagged=True)
    numbers = Integerizer(["a"])
    assert (numbers.add("b"), numbers.index("c"), numbers[0], "a" in numbers, list(numbers)) == (
        1, None, "a", True, ["a", "b"]
    )  # fmt: skip
    corpus, _ = small_corpus()
    for sentences in [*corpus.by_length(2), *corpus.shuffled(2)]:
        batch = corpus.batch(sentences).to("cpu")
        assert batch.mask.sum() == batch.lengths.sum()
    assert corpus.batch(torch.arange(5)).fold.tolist() == [0, 2, 4, 6, 8]


def exercise_lexicon() -> None:
    import torch

    from word_vectors import read_lexicon

    corpus, lexicon = small_corpus()
    batch = corpus.batch(torch.arange(5))
    for training in (True, False):
        lexicon.train(training)
        for ends in (True, False):
            words = lexicon.features(batch, ends)
            product = words @ torch.ones(lexicon.dim, 2)
            words.transposed_product(product)
            assert lexicon.embed(batch, ends).shape == (5, batch.ids.shape[1] + 2 * ends, lexicon.dim)
    assert [lexicon.category(word) for word in ("the", "cats", "zzz")] == ["known", "seen", "novel"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors"
        path.write_text("the 1 2\ndog 3 4\n")
        assert read_lexicon(path).matrix.shape == (5, 2)


def exercise_chain() -> None:
    import torch

    import chain as module
    from chain import LinearChain

    B, n, k = 3, 4, 2
    lengths = torch.tensor([4, 1, 2])
    engines = {module.chain_fast, None}
    for module.chain_fast in engines:
        for shape in ((k, k), (B, n - 1, k, k)):
            for scale in (1.0, 1000.0):
                parts = [scale * torch.randn(size) for size in ((B, k), (B, n, k), shape, (B, k))]
                for part in parts:
                    part.requires_grad_()
                chain = LinearChain(*parts, lengths)
                use(chain)
                chain.log_partition.sum().backward()
                use(LinearChain(*(part.detach() for part in parts), lengths))
    single = LinearChain(
        torch.zeros(1, k), torch.zeros(1, 1, k), torch.zeros(k, k), torch.zeros(1, k), torch.tensor([1])
    )
    use(single)
    module.pad_topk(torch.randn(2, 3, 4), 5)


def use(chain) -> None:
    """Every property and method of a chain, and every function of chain.py that takes one."""
    import torch

    import chain as module

    tags = chain.argmax
    chain.log_partition, chain.marginals, chain.pair_marginals, chain.transition_counts, chain.entropy
    hidden = torch.where(chain.mask & (tags == 0), -1, tags)
    assert (chain.score(tags) <= chain.score(hidden, partial=True) + 1e-3 * chain.score(tags).abs() + 1e-3).all()
    chain.log_prob(tags), chain.log_prob(hidden, partial=True), chain.clamped(tags).log_partition
    chain.energy(chain.marginals), chain.kbest(2), chain.kbest(99 if chain.emit.shape[1] > 3 else 1)
    chain.sample(3, torch.Generator().manual_seed(0)), chain.detach(), chain.at_last(chain.emit)
    module.forward(chain), module.backward(chain), module.viterbi(chain), module.counts_by_backprop(chain)


def exercise_models() -> None:
    import torch

    from crf_neural import sigmoid_rnn, sum_of_sigmoids
    from decoders import DECODERS, decoder, tag_corpus
    from lexicon import Lexicon
    from tagger import KINDS, Tagger, tagger_class

    corpus, lexicon = small_corpus()
    one_hot = Lexicon(lexicon.training_counts)
    sizes = dict(transition_features=2, emission_features=3, tag_dim=2)
    cases = [(kind, {}) for kind in KINDS if kind != "crf_neural"]
    cases += [("crf_neural", dict(rnn_dim=d, **sizes)) for d in (0, 2)]
    of_potentials = ("inner", "emission_context", "emission_mlp", "shared", "window")
    cases += [("crf_extended", dict(rnn_dim=2, potentials=name)) for name in of_potentials]
    cases += [("crf_extended", dict(rnn_dim=2, rnn="lstm", layers=2, dropout=0.3, outside=True))]
    cases += [(kind, dict(unigram=True)) for kind in ("crf", "crf_backprop", "crf_extended")]
    cases += [("crf_backprop", dict(tag_rank=2, tag_form="asymmetric"))]
    for kind, options in cases:
        words = one_hot if kind in ("hmm", "crf") else lexicon
        words.vocab = lexicon.vocab
        tagger = tagger_class(kind)(corpus_tagset(), words, **options)
        for sentences in (torch.arange(5), torch.tensor([2])):
            batch = corpus.batch(sentences)
            use(tagger(batch))
            assert tagger.logprob(batch).shape == (len(sentences),)
            if kind == "hmm":
                counts, _ = tagger.e_step(batch)
                tagger.m_step(counts, 0.1)
            else:
                assert tagger.add_gradient(batch, 0.1, 5) > 0
            for name in DECODERS:
                decoder(name)(tagger, batch, None)
                decoder(name)(tagger, batch, tagger(batch))
        tagger.squared_norm(), tagger.parameter_count()
        tag_corpus(tagger, corpus, decoder("viterbi"), 2)
        with tempfile.TemporaryDirectory() as folder:
            tagger.save(Path(folder) / "model", train=["here"])
            assert Tagger.load(Path(folder) / "model").more == {"train": ["here"]}
    sigmoid_rnn(torch.randn(2, 3, 4), torch.randn(4, 4))
    sum_of_sigmoids(torch.randn(2, 3), torch.randn(4, 3), torch.randn(3))


def corpus_tagset():
    from integerize import Integerizer

    return Integerizer(["D", "N", "V"])


def exercise_evaluation() -> None:
    import eval as evaluation
    from tagger import tagger_class

    gold, found = [["N", None], ["V"]], [["N", "V"], ["N"]]
    evaluation.accuracy(gold, found, [["known", "seen"], ["novel"]])["all"].fraction
    correct, totals = evaluation.correct_by_sentence(gold, found)
    evaluation.bootstrap_interval(correct, totals, samples=20)
    evaluation.paired_bootstrap(correct, correct, totals, samples=20)
    evaluation.format_confusion(evaluation.confusion(gold, found))
    overall, _ = evaluation.span_f1([["B-X", "I-X", "O"]], [["B-X", "O", "O"]])
    assert evaluation.is_span_task(["O", "B-X"]) and overall.f1 == overall.precision == overall.recall == 0
    corpus, lexicon = small_corpus()
    tagger = tagger_class("crf_backprop")(corpus_tagset(), lexicon)
    assert evaluation.cross_entropy(tagger, corpus).perplexity > 1
    assert 0 <= evaluation.viterbi_error(tagger, corpus) <= 1


def exercise_training() -> None:
    from dataclasses import replace

    from tagger import tagger_class
    from training import Interrupted, Settings, State, Trainer

    corpus, lexicon = small_corpus()
    settings = Settings(max_steps=15, eval_interval=5, batch_size=2, restarts=1)
    for kind, changes in [("crf_neural", {}), ("crf_backprop", dict(optimizer="sgd", loss="viterbi_error")),
                          ("hmm", dict(restarts=0))]:  # fmt: skip
        words = small_corpus()[1] if kind != "hmm" else type(lexicon)(lexicon.training_counts)
        words.vocab = lexicon.vocab
        make = lambda kind=kind, words=words: tagger_class(kind)(corpus_tagset(), words)
        chosen = replace(settings, **changes)
        trainer = Trainer(make, corpus, corpus, chosen, stop_requested=lambda: True, quiet=True)
        try:
            trainer.run()
            raise AssertionError("not interrupted")
        except Interrupted:
            pass
        with tempfile.TemporaryDirectory() as folder:
            trainer.state.save(Path(folder) / "checkpoint", plan=1)
            state, _ = State.load(Path(folder) / "checkpoint")
        assert Trainer(make, corpus, corpus, chosen, state, quiet=True).run().parameter_count()


def wrong_calls() -> list[Callable[[], object]]:
    """Calls whose arguments have a wrong shape or type; each must be refused."""
    import torch

    from chain import LinearChain
    from corpus import Batch, parse_sentence
    from crf_neural import sigmoid_rnn, sum_of_sigmoids
    from word_vectors import WordVectors

    zeros, lengths = torch.zeros, torch.tensor([2, 1])
    good = [zeros(2, 3), zeros(2, 2, 3), zeros(3, 3), zeros(2, 3), lengths]

    def chain_with(position: int, argument: torch.Tensor) -> Callable[[], object]:
        return lambda: LinearChain(*good[:position], argument, *good[position + 1 :])

    chain = LinearChain(*good)
    ids = torch.zeros(2, 2, dtype=torch.long)
    return [
        chain_with(0, zeros(2, 4)),
        chain_with(1, zeros(2, 3)),
        chain_with(2, zeros(3, 4)),
        chain_with(2, zeros(2, 2, 3, 3)),
        chain_with(3, zeros(1, 3)),
        chain_with(4, zeros(2)),
        lambda: chain.score(zeros(2, 2)),
        lambda: chain.energy(zeros(2, 3)),
        lambda: chain.kbest("two"),
        lambda: sigmoid_rnn(zeros(2, 3, 4), zeros(4, 5)),
        lambda: sum_of_sigmoids(zeros(2, 3), zeros(4, 3), zeros(4)),
        lambda: Batch([("a",), ("b",)], ids, lengths, ids[:, :1], lengths),
        lambda: WordVectors(["a"], zeros(3)),
        lambda: parse_sentence(3, "test"),
    ]


def main() -> None:
    sys.path.insert(0, str(CODE))
    import runtime  # noqa: F401, I001  before torch
    import torch
    from jaxtyping import install_import_hook

    torch.set_num_threads(1)
    torch.manual_seed(0)
    names = [*modules(), "decoders"]
    with install_import_hook(names, "typeguard.typechecked"):
        for name in [*names, *(f"decoders.{path.stem}" for path in (CODE / "decoders").glob("[!_]*.py"))]:
            resolve_named_tuples(importlib.import_module(name))
    if sys.argv[1] == "exercise":
        exercise()
    else:
        accepted = [number for number, call in enumerate(wrong_calls()) if not refuses(call)]
        assert not accepted, f"wrong calls that were accepted: {accepted}"
    print("done", flush=True)


def resolve_named_tuples(module: ModuleType) -> None:
    """Give NamedTuples their types in place of the names of these, which typeguard would look up in another module."""
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, tuple) and value.__module__ == module.__name__:
            value.__annotations__ = get_type_hints(value)


def refuses(call: Callable[[], object]) -> bool:
    """Whether it is the type checker that stops the call."""
    from jaxtyping import TypeCheckError

    try:
        call()
    except (TypeCheckError, TypeError) as error:
        return "type" in str(error).lower()
    return False


@pytest.mark.parametrize("what", ["exercise", "wrong calls"])
def test_annotations(what: str) -> None:
    environment = {**os.environ, "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, __file__, what], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr[-4000:]


if __name__ == "__main__":
    main()
