"""The BLSTM-CRF against its formula, sentence by sentence in float64 (literal_networks.py, enumeration); its energy of
relaxed taggings; training, files, and what tag.py makes of --model crf_blstm.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import literal_networks as literal
import options
from corpus import Batch, IntegerizedCorpus, parse_sentence
from crf_blstm import ConditionalRandomFieldBLSTM
from defaults import NETWORKS
from eval import STAR, is_span_task, span_f1, viterbi_error
from handout import Factors
from integerize import Integerizer
from plan import Plan, make_plan, model_argument
from tagger import Tagger, tagger_class
from test_local import LINES, TAGS, close, make_batch, make_lexicon, make_tagger, of_network
from training import Settings, Trainer

BOS, EOS = len(TAGS), len(TAGS) + 1
CRF = "crf_blstm"


def make(plus: bool = False, layers: int = 1, tags: Sequence[str] = TAGS) -> ConditionalRandomFieldBLSTM:
    """In double precision and eval mode, all its parameters random (and such as a file in single precision holds)."""
    tagger = make_tagger(CRF, tags, plus=plus, layers=layers)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return tagger


def factors(tagger: ConditionalRandomFieldBLSTM, batch: Batch, number: int) -> Factors:
    """The formula at the head of crf_blstm.py, for one sentence of the batch."""
    n, k = int(batch.lengths[number]), len(tagger.tagset)
    words = tagger.lexicon.embed(batch)[number, :n].detach().numpy()
    logits = literal.blstm(of_network(tagger.network), list(words))
    start, trans, stop = (part.detach().numpy() for part in (tagger.start, tagger.trans, tagger.stop))

    def A(s: int, t: int, i: int) -> float:
        return start[t] if s == k else stop[s] if t == k + 1 else trans[s, t]

    return Factors(n, k, A, lambda t, i: logits[i - 1, t])


# ---------------------------------------------------------------------------------------------------------- the formula


@pytest.mark.parametrize("plus", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_chain_is_the_formula(plus: bool, layers: int) -> None:
    tagger = make(plus, layers)
    batch = make_batch(tagger)
    chain = tagger(batch)
    assert chain.shared
    for number in range(len(batch)):
        formula = factors(tagger, batch, number)
        tables, n = formula.tables(), formula.n
        for found, expected in [(chain.start, tables.start), (chain.stop, tables.stop)]:
            close(found[number], expected)
        close(chain.emit[number, :n], tables.emit)
        close(chain.trans.expand(n - 1, -1, -1), tables.trans)
        tags = batch.tags[number, :n].tolist()
        close(tagger.logprob(batch)[number], formula.log_conditional(tags))
        close(chain.log_partition[number], formula.log_sum())
        assert chain.argmax[number, :n].tolist() == list(max(formula.taggings(), key=formula.score))


def test_partly_tagged_sentences() -> None:
    tagger = make()
    batch = make_batch(tagger)
    batch = replace(batch, tags=torch.where(torch.arange(batch.ids.shape[1]) == 1, -1, batch.tags))
    observed = [row[:n] for row, n in zip(batch.tags.tolist(), batch.lengths.tolist())]
    close(tagger.logprob(batch), [factors(tagger, batch, i).log_conditional(tags) for i, tags in enumerate(observed)])
    close(tagger.logprob(replace(batch, tags=None)), torch.zeros(len(batch)))


def test_energy_of_relaxed_taggings() -> None:
    """E(w, y) = -(sum_i y_i . logits_i + y_1 . start + sum_i y_{i-1}^T A y_i + y_n . stop), as the paper relaxes it."""
    tagger = make()
    batch = make_batch(tagger)
    y = torch.randn(*batch.ids.shape, len(TAGS), generator=torch.Generator().manual_seed(0)).double().softmax(dim=2)
    energy = tagger(batch).energy(y)
    for number, n in enumerate(batch.lengths.tolist()):
        tables, q = factors(tagger, batch, number).tables(), y[number, :n].numpy()
        score = (q * tables.emit).sum() + q[0] @ tables.start + q[-1] @ tables.stop
        score += sum(q[i - 1] @ tables.trans[i - 1] @ q[i] for i in range(1, n))
        close(energy[number], -score)
        formula = factors(tagger, batch, number)
        mean = sum(
            np.prod([q[i, t] for i, t in enumerate(tags)]) * formula.score(tags)
            for tags in itertools.product(range(len(TAGS)), repeat=n)
        )
        close(energy[number], -mean)  # it is multilinear: the mean energy of taggings drawn from y


def test_padding_batch_and_order_do_not_matter() -> None:
    tagger = make(plus=True, layers=2)
    together = tagger.logprob(make_batch(tagger))
    for number, line in enumerate(LINES):
        close(tagger.logprob(make_batch(tagger, [line]))[0], together[number])
    close(tagger.logprob(make_batch(tagger, LINES[::-1])).flip(0), together)
    batch = make_batch(tagger)
    beyond = torch.arange(batch.ids.shape[1]) >= batch.lengths[:, None]
    close(tagger.logprob(replace(batch, ids=batch.ids.masked_fill(beyond, 10**9))), together)


# ------------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("plus", [False, True])
def test_loss_and_gradient(plus: bool) -> None:
    """By central differences along each coordinate of the transitions, and along a random direction of all else."""
    tagger = make(plus)
    batch, reg, N = make_batch(tagger), 0.2, 9
    loss = tagger.add_gradient(batch, reg, N)
    squares = sum((parameter**2).sum().item() for parameter in tagger.parameters())
    observed = [row[:n] for row, n in zip(batch.tags.tolist(), batch.lengths.tolist())]
    likelihood = [factors(tagger, batch, i).log_conditional(tags) for i, tags in enumerate(observed)]
    np.testing.assert_allclose(loss, -np.mean(likelihood) + reg / N * squares, rtol=1e-10)

    def slope(directions: dict[str, torch.Tensor], h: float = 1e-5) -> float:
        ends = []
        for step in (h, -2 * h):
            with torch.no_grad():
                for name, direction in directions.items():
                    tagger.get_parameter(name).add_(direction, alpha=step)
                ends.append(float(-tagger.logprob(batch).mean() + reg / N * tagger.squared_norm()))
        with torch.no_grad():
            for name, direction in directions.items():
                tagger.get_parameter(name).add_(direction, alpha=h)
        return (ends[0] - ends[1]) / (2 * h)

    for name in ("start", "trans", "stop"):
        gradient = tagger.get_parameter(name).grad
        for place in itertools.product(*map(range, gradient.shape)):
            direction = torch.zeros_like(gradient)
            direction[place] = 1.0
            np.testing.assert_allclose(slope({name: direction}), float(gradient[place]), rtol=1e-5, atol=1e-8)
    others = {name: torch.randn_like(x) for name, x in tagger.named_parameters() if name not in ("start", "stop")}
    expected = sum((direction * tagger.get_parameter(name).grad).sum().item() for name, direction in others.items())
    np.testing.assert_allclose(slope(others), expected, rtol=1e-5)


def test_word_vectors_are_fixed_or_fine_tuned() -> None:
    """BLSTM-CRF+ moves the rows of the words that it meets; the rest, and those of a BLSTM-CRF, stay."""
    for plus in (False, True):
        tagger = make_tagger(CRF, plus=plus)
        batch = make_batch(tagger)
        before = {name: x.clone() for name, x in tagger.state_dict().items()}
        tagger.add_gradient(batch, 0.0, 5)
        torch.optim.SGD(tagger.parameters(), lr=0.1).step()
        moved = {name for name, x in tagger.state_dict().items() if not torch.equal(x, before[name])}
        assert not any(name.endswith("matrix") for name in moved)
        assert any(name.endswith("delta") for name in moved) == plus
        assert any("embedding" in name for name in moved) == plus
        assert {"start", "trans", "stop"} < moved


def test_tiny_corpus_is_learned() -> None:
    """A word alone does not tell its tag; neighbouring tags differ."""
    lines = ["the/A the/B the/A the/B", "the/B the/A the/B", "dog/A the/B", "the/B dog/A"]
    sentences = [parse_sentence(line, "test") for line in lines]
    torch.manual_seed(0)
    lexicon = make_lexicon()
    tagger = tagger_class(CRF)(Integerizer("AB"), lexicon, hidden=4)
    corpus = IntegerizedCorpus(sentences, lexicon.vocab, tagger.tagset, training=True)
    batch = corpus.batch(torch.arange(len(lines)))
    optimizer = torch.optim.Adam(tagger.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = tagger.add_gradient(batch, 0.0, len(lines))
        optimizer.step()
    chain = tagger.eval()(batch)
    assert loss < 0.1 and torch.equal(chain.argmax, batch.tags)
    assert (tagger.trans[0, 1] + tagger.trans[1, 0] > tagger.trans[0, 0] + tagger.trans[1, 1]).item()


def test_same_seed_same_result() -> None:
    sentences = [parse_sentence(line, "test") for line in LINES]
    found = []
    for seed in (1, 1, 2):
        lexicon = make_lexicon(plus=True)
        corpora = [IntegerizedCorpus(sentences, lexicon.vocab, Integerizer(TAGS), training=t) for t in (True, False)]
        settings = Settings(max_steps=20, eval_interval=10, batch_size=2, seed=seed)
        make = lambda lexicon=lexicon: tagger_class(CRF)(Integerizer(TAGS), lexicon.fresh(), hidden=3, plus=True)
        found.append(Trainer(make, *corpora, settings, quiet=True).run().network.output.weight)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.parametrize("plus", [False, True])
def test_saved_and_loaded(plus: bool, tmp_path: Path) -> None:
    tagger = make(plus, layers=2)
    tagger.save(tmp_path / "m.model", train=["here"])
    loaded = Tagger.load(tmp_path / "m.model").double()
    assert type(loaded) is ConditionalRandomFieldBLSTM and loaded.more == dict(train=["here"])
    assert loaded.sizes == dict(hidden=3, plus=plus, layers=2)
    assert torch.equal(loaded.logprob(make_batch(loaded)), tagger.logprob(make_batch(tagger)))


# ---------------------------------------------------------------------------------------------------------------- tasks


@pytest.mark.parametrize("k", [1, 2, 401, 2000])
def test_few_and_many_labels(k: int) -> None:
    tags = [f"t{number}" for number in range(k)]
    tagger = make_tagger(CRF, tags)
    batch = make_batch(tagger, [f"the/t0 dog/t{k - 1} saw/t0", "barks/t0"])
    chain = tagger(batch)
    assert chain.argmax.shape == (2, 3) and chain.log_partition.isfinite().all()
    assert tagger.add_gradient(batch, 0.0, 2) > -1e-12
    assert all(parameter.grad.isfinite().all() for parameter in tagger.parameters())
    np.testing.assert_allclose(tagger(batch).log_prob(batch.tags).exp().detach(), [1 / k**3, 1 / k], rtol=2.0)


def test_entities_and_stars_are_scored() -> None:
    """Labels of spans get F1 by conlleval's rules; a gold `*` is an error, also of the one that was predicted."""
    labels = ["B-PER", "E-PER", "I-PER", "O", "S-PER"]
    tagger = make(tags=labels)
    batch = make_batch(tagger, ["the/O dog/B-PER saw/E-PER Paris/S-PER", "barks/S-PER"])
    names = [[labels[tag] for tag in row if tag >= 0] for row in tagger(batch).argmax.tolist()]
    gold = [["O", "B-PER", "E-PER", "S-PER"], ["S-PER"]]
    assert is_span_task(labels) and span_f1(gold, gold)[0].f1 == 1.0
    assert 0 <= span_f1(gold, names)[0].f1 <= 1

    starred = make(tags=["D", STAR])
    sentences = [parse_sentence(line, "test") for line in ["the/D dog/* saw/*", "a/*"]]
    corpus = IntegerizedCorpus(sentences, starred.lexicon.vocab, starred.tagset)
    with torch.no_grad():
        starred.start[1] = starred.trans[:, 1] = 100.0
    assert starred(corpus.batch(torch.arange(2))).argmax.tolist() == [[1, 1, 1], [1, -1, -1]]
    assert viterbi_error(starred, corpus) == 1.0


# ----------------------------------------------------------------------------------------------------- the command line


def plan_of(*arguments: str) -> Plan:
    args = options.parser().parse_args(["twdev", *arguments])
    return make_plan(args, *model_argument(args))


@pytest.mark.parametrize("kind", NETWORKS)
def test_defaults_of_the_command_line(kind: str) -> None:
    """Word vectors unless others are asked for; --plus asks for all its features, and says so in the file's name."""
    plain, plus = plan_of("--model", kind), plan_of("--model", kind, "--plus", "--hidden", "7")
    assert (plain.kind, plain.train, plain.sizes) == (kind, ["twsup"], {})
    assert (plain.lexicon, plain.one_hot, plain.characters, plain.finetune) == (["words-50.txt"], False, False, False)
    assert (plus.lexicon, plus.one_hot, plus.characters, plus.finetune) == (["words-50.txt"], False, True, True)
    assert plus.sizes == dict(plus=True, hidden=7)
    assert (plain.save, plus.save) == (f"{kind}_twsup.model", f"{kind}_twsup_plus.model")
    other = plan_of("--model", kind, "--lexicon", "words-10.txt", "--affixes")
    assert (other.lexicon, other.affixes) == (["words-10.txt"], True)
    none = plan_of("--model", kind, "--no_lexicon")
    assert (none.lexicon, none.one_hot) == ([], True)
