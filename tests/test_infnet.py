"""Inference networks: their energies, objectives and files, and what tag.py makes of --decoder infnet and its kin.

Objectives are held against literal transcriptions, one sentence at a time in float64 (enumeration.py); the networks
themselves are test_local's business.
"""

from __future__ import annotations

import itertools
import json
import math
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import enumeration as brute
import literal_networks as literal
import training
from chain import LinearChain
from command_line import CORPORA, SHORT, Call, Outcome, assert_one_line_error, call, contents, folder, metrics
from corpus import Batch, InputError, IntegerizedCorpus, Sentence, parse_sentence
from crf_blstm import ConditionalRandomFieldBLSTM
from decoders import LEARNED, Decoding, decoder, tag_corpus
from decoders import infnet as networks
from decoders import infnet_training as amortizing
from decoders.infnet import Settings
from decoders.margin import CostAugmented, Joint, distance
from decoders.relaxation import Relaxation, finite
from local import LocalTagger
from networks import FEEDS
from tagger import Tagger, read_tensors
from test_chain import make, normal
from test_local import LINES, close, make_batch, make_tagger

__all__ = ["call", "folder"]  # fixtures
ARCHITECTURES = [
    Settings("cnn", hidden=3),
    Settings("cnn", hidden=3, window=2, plus=True),
    Settings("blstm", hidden=3, layers=2),
    Settings("seq2seq", hidden=3),
    Settings("seq2seq", hidden=3, feed="soft"),
]
each_architecture = pytest.mark.parametrize("settings", ARCHITECTURES, ids=lambda settings: settings.name)
each_learned = pytest.mark.parametrize("name", LEARNED)


def make_model(plus: bool = False, scale: float = 1.0) -> ConditionalRandomFieldBLSTM:
    """In double precision, its parameters random."""
    tagger = make_tagger("crf_blstm", plus=plus)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return tagger


def make_network(model: Tagger, settings: Settings = ARCHITECTURES[0]) -> LocalTagger:
    torch.manual_seed(2)
    network = networks.make_network(model, settings, list).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return network


def corpus_of(model: Tagger) -> IntegerizedCorpus:
    sentences = [parse_sentence(line, "test") for line in LINES]
    return IntegerizedCorpus(sentences, model.lexicon.vocab, model.tagset)


def sentences_of(model: Tagger, batch: Batch) -> list[brute.Sentence]:
    chain = model(batch)
    parts = (chain.start, chain.emit, chain.stop)
    start, emit, stop = (part.detach().numpy() for part in parts)
    trans = chain.trans.detach().numpy()
    return [
        brute.Sentence(start[b], emit[b, :n], np.broadcast_to(trans, (n - 1, *trans.shape)), stop[b])
        for b, n in enumerate(batch.lengths.tolist())
    ]


# ------------------------------------------------------------------------------------------------------------- energies


@each_architecture
@each_learned
def test_energies_are_never_below_the_best(name: str, settings: Settings) -> None:
    for plus in (False, True):
        model = make_model(plus)
        batch = make_batch(model)
        found: Decoding = decoder(name, make_network(model, settings))(model, batch)
        for b, sentence in enumerate(sentences_of(model, batch)):
            n = len(sentence.emit)
            best = -brute.scores(sentence).max()
            assert (found.tags[b, n:] == -1).all()
            close(found.energy[b], -brute.score(sentence, found.tags[b, :n]))
            close(found.relaxed_energy[b], brute.energy(sentence, found.relaxed[b, :n].numpy()))
            assert found.energy[b] >= best - 1e-6 and found.relaxed_energy[b] >= best - 1e-6
        assert not found.energy.requires_grad and not found.relaxed.requires_grad


@each_learned
def test_tags_and_their_one_hot_taggings_have_the_same_energy(name: str) -> None:
    model = make_model()
    batch = make_batch(model)
    found = decoder(name, make_network(model))(model, batch)
    one_hot = torch.nn.functional.one_hot(found.tags.clamp(min=0), len(model.tagset)).double()
    q = one_hot * batch.mask[:, :, None]
    close(Relaxation(finite(model(batch))).energy_of(q), found.energy)
    close(model(batch).energy(q), found.energy)


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "by position"])
def test_slope_of_the_energy(shared: bool) -> None:
    """Against autograd through chain.energy."""
    batch = make(np.random.default_rng(3), 3, [4, 1, 3], shared, normal(2.0), forbid=0.2, extra=1)
    chain = finite(batch.chain())
    relaxation = Relaxation(chain)
    logits = torch.randn(3, 5, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    weights = torch.tensor([1.0, -2.0, 0.5]).double()
    found = []
    for energy in (relaxation.energy_of, chain.energy):
        value = energy(relaxation.softmax(logits))
        found.append((value, torch.autograd.grad((weights * value).sum(), logits)[0]))
    (value, slope), (expected_value, expected_slope) = found
    close(value, expected_value)
    close(slope, expected_slope)


@each_architecture
def test_sentence_alone_in_any_batch_and_any_order(settings: Settings) -> None:
    model = make_model()
    network = make_network(model, settings)
    together = networks.infnet(model, make_batch(model), network=network)
    mixed = networks.infnet(model, make_batch(model, LINES[::-1]), network=network)
    close(mixed.energy.flip(0), together.energy)
    for b, line in enumerate(LINES):
        alone = networks.infnet(model, make_batch(model, [line]), network=network)
        n = len(line.split())
        assert alone.tags[0].tolist() == together.tags[b, :n].tolist()
        close(alone.relaxed[0], together.relaxed[b, :n])
        close(alone.relaxed_energy[0], together.relaxed_energy[b])


def test_padding_never_matters() -> None:
    model = make_model()
    network = make_network(model)
    batch = make_batch(model)
    expected = networks.infnet(model, batch, network=network)
    changed = Batch(batch.words, torch.where(batch.mask, batch.ids, 10**9), batch.lengths, None, batch.fold)
    found = networks.infnet(model, changed, network=network)
    assert torch.equal(found.tags, expected.tags) and torch.equal(found.relaxed, expected.relaxed)


def test_network_tags_without_the_model() -> None:
    model = make_model()
    batch = make_batch(model)

    def never(batch: Batch) -> LinearChain:
        raise AssertionError("the model was asked")

    network = make_network(model)
    found = networks.infnet(never, batch, network=network)
    assert torch.equal(found.tags, network(batch).argmax)
    close(found.relaxed, network(batch).marginals)


def test_beam_of_a_network_that_reads_labels() -> None:
    model = make_model()
    network = make_network(model, Settings("seq2seq", hidden=3))
    batch = make_batch(model)
    wide = networks.infnet(model, batch, network=network, width=3)
    assert torch.equal(wide.tags, network.beam(batch, 3)[0])
    assert torch.equal(networks.infnet(model, batch, network=network, width=1).tags, network(batch).argmax)
    for settings in (ARCHITECTURES[0], ARCHITECTURES[-1]):
        with pytest.raises(ValueError, match="reads no labels"):
            networks.infnet(model, batch, network=make_network(model, settings), width=3)


def test_forbidden_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network may choose what the model forbids: the energy is +inf; a descent from there finds what is possible."""
    model = make_model()
    batch = make_batch(model)
    network = make_network(model)
    chosen = networks.infnet(model, batch, network=network).tags
    forward = model.forward

    def forbidding(batch: Batch) -> LinearChain:
        chain = forward(batch)
        emit = chain.given_emit.clone()
        emit[:, 0, chosen[0, 0]] = -math.inf
        return LinearChain(chain.start, emit, chain.trans, chain.stop, chain.lengths)

    monkeypatch.setattr(model, "forward", forbidding)
    found = networks.infnet(model, batch, network=network)
    assert found.energy[0] == math.inf and found.relaxed_energy.isfinite().all()
    warm = decoder("warm_start", network, iterations=20, step=1.0)(model, batch)
    assert warm.energy.isfinite().all() and (warm.tags[:, 0] != chosen[0, 0]).all()
    tagging = tag_corpus(model, corpus_of(model), decoder("infnet", network), energies=True)
    assert not tagging.impossible and tagging.energies.found[0] == math.inf
    assert tagging.energies.viterbi.isfinite().all()


def test_impossible_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network tags them; those that look at energies refuse them, and tag_corpus counts them."""
    model = make_model()
    network, forward = make_network(model), model.forward

    def impossible(batch: Batch) -> LinearChain:
        chain = forward(batch)
        emit = chain.given_emit.masked_fill((batch.lengths == 1)[:, None, None], -math.inf)
        return LinearChain(chain.start, emit, chain.trans, chain.stop, chain.lengths)

    monkeypatch.setattr(model, "forward", impossible)
    for name in LEARNED:
        tagging = tag_corpus(model, corpus_of(model), decoder(name, network), energies=True)
        assert tagging.impossible == ([] if name == "infnet" else [1, 2])
        assert tagging.energies.viterbi.isnan().tolist() == [False, True, True, False, False]
        assert tagging.energies.found.isnan().tolist() == [False, True, True, False, False]


# ----------------------------------------------------------------------------------------------------------- objectives


def literal_terms(model: Tagger, network: Tagger, batch: Batch) -> list[dict[str, float]]:
    """Of each sentence: energy of the network's output and of the gold tags, token loss, and cost."""
    q, terms = network(batch).marginals.detach().numpy(), []
    for b, sentence in enumerate(sentences_of(model, batch)):
        n, k = sentence.emit.shape
        gold = batch.tags[b, :n].tolist()
        terms.append(dict(
            energy=brute.energy(sentence, q[b, :n]),
            token_loss=-sum(math.log(q[b, i, t]) for i, t in enumerate(gold) if t >= 0),
            cost=sum(abs((t == gold[i]) - q[b, i, t]) for i in range(n) if gold[i] >= 0 for t in range(k)),
            gold=-brute.score(sentence, gold) if min(gold) >= 0 else math.nan,
        ))  # fmt: skip
    return terms


def test_objective_is_energy_plus_token_loss() -> None:
    model = make_model()
    batch, network = make_batch(model), make_network(model)
    task = amortizing.Amortization(network, model, Settings(weight=0.3))
    expected = [x["energy"] + 0.3 * x["token_loss"] for x in literal_terms(model, network, batch)]
    close(task.losses(batch, 0.3), expected)
    (loss,) = task.gradients(batch, 0.0, len(batch))
    assert loss == pytest.approx(np.mean(expected))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.grad is not None for parameter in network.network.parameters())


def test_token_loss_is_of_gold_tags_only() -> None:
    model = make_model()
    batch, network = make_batch(model, ["the/D Dog saw/V", "barks"]), make_network(model)
    terms = literal_terms(model, network, batch)
    logits = network.logits(batch)
    close(amortizing.token_loss(logits, batch.tags), [x["token_loss"] for x in terms])
    assert amortizing.token_loss(logits, None).tolist() == [0, 0]


def test_cost_augmented_objective() -> None:
    model = make_model()
    batch, network = make_batch(model), make_network(model)
    task = CostAugmented(network, model, Settings(objective="cost_augmented"))
    terms = literal_terms(model, network, batch)
    close(task.losses(batch, 0.7), [x["energy"] - x["cost"] + 0.7 * x["token_loss"] for x in terms])
    close(distance(network(batch).marginals, batch.tags), [x["cost"] for x in terms])
    gold = torch.nn.functional.one_hot(batch.tags.clamp(min=0), len(model.tagset)).double()
    close(distance(gold, batch.tags), torch.zeros(len(batch)))
    wrong = (batch.tags + 1).remainder(len(model.tagset))
    one_hot = torch.nn.functional.one_hot(wrong, len(model.tagset)).double()
    close(distance(one_hot, batch.tags), 2.0 * batch.lengths)


def test_joint_objective() -> None:
    """Both steps against the formulas; each moves only what it shall, and what it was given stays as it is."""
    given = make_model()
    before = {name: x.clone() for name, x in given.state_dict().items()}
    lines = [*LINES, "the/D dog saw/V"]
    batch = make_batch(given, lines)
    A, F = make_network(given), make_network(given, Settings("blstm", hidden=3))
    joint = Joint(A, F, given, Settings(objective="joint", weight=0.4)).train()
    assert not joint.learned.training and joint.network.training
    of_F, of_A = (literal_terms(given, network, batch) for network in (F, A))
    expected = [f["energy"] - f["cost"] + a["energy"] + 0.4 * a["token_loss"] for f, a in zip(of_F, of_A)]
    close(joint.losses(batch, 0.4), expected)
    violations = [
        max(0, f["cost"] - f["energy"] + f["gold"]) + max(0, a["gold"] - a["energy"]) for f, a in zip(of_F, of_A)
    ]
    violations[-1] = 0.0  # not tagged throughout
    assert 0 < sum(violation > 0 for violation in violations) < len(lines) or min(violations[:-1]) > 0
    close(joint.energy_losses(batch), violations)

    steps = joint.gradients(batch, 0.0, len(batch))
    of_networks, of_energy = (
        list(x.parameters()) for x in (torch.nn.ModuleList([A.network, F.network]), joint.learned)
    )
    assert next(steps) == pytest.approx(np.mean(expected))
    assert all(x.grad is not None for x in of_networks) and all(x.grad is None for x in of_energy)
    joint.zero_grad(set_to_none=True)
    assert next(steps) == pytest.approx(np.mean(violations))
    assert all(x.grad is None for x in of_networks) and joint.learned.trans.grad is not None
    assert all(torch.equal(x, before[name]) for name, x in given.state_dict().items())
    first, second = joint.groups(0.1)
    assert (first["lr"], second["lr"]) == (0.1, 0.001) and len(second["params"]) == len(of_energy)


def test_weight_of_the_token_loss_by_epoch() -> None:
    assert [amortizing.annealed(2.0, "none", t) for t in (0, 5, 200)] == [2.0, 2.0, 2.0]
    assert [amortizing.annealed(2.0, "linear", t) for t in (0, 5, 200)] == [2.0, 1.9, 0.0]
    assert amortizing.annealed(2.0, "exponential", 5) == pytest.approx(2 * math.exp(-0.05))
    model = make_model()
    batch = make_batch(model)
    task = amortizing.Amortization(make_network(model), model, Settings(weight=2.0, annealing="linear"))
    weights = []
    for _ in range(3):
        weights.append(task.token_weight(2 * len(batch)))
        list(task.gradients(batch, 0.0, 2 * len(batch)))
    assert weights == [2.0, 2.0, 1.98]


def test_gold_labels_are_read_ever_less_often() -> None:
    """By all that train with the energy of the model; never by those with another feed, and never out of training."""
    model = make_model()
    batch = make_batch(model)
    for feed, expected in (("scheduled", [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]), ("argmax", [0.0] * 6), ("soft", [0.0] * 6)):
        settings = Settings("seq2seq", hidden=3, feed=feed, max_steps=4 * len(batch))
        new = lambda settings=settings: make_network(model, settings)
        for task in (amortizing.Amortization(new(), model, settings), Joint(new(), new(), model, settings)):
            shares = []
            for _ in range(6):
                list(task.gradients(batch, 0.0, 10))
                shares.append(task.network.gold_share)
                assert not isinstance(task, Joint) or task.cost_augmented.gold_share == shares[-1]
            assert shares == expected


def test_objective_with_gold_labels_read() -> None:
    """With all labels gold, as in the formula that is fed them; a soft one by its own formula."""
    model = make_model()
    batch = make_batch(model)
    for feed in ("scheduled", "soft"):
        settings = Settings("seq2seq", hidden=3, feed=feed, weight=0.3)
        network = make_network(model, settings)
        task = amortizing.Amortization(network, model, settings)
        network.training, network.gold_share = True, float(feed == "scheduled")
        words, expected = network.lexicon.embed(batch).detach().numpy(), []
        theta = {name: x.detach().numpy() for name, x in network.network.named_parameters()}
        for b, sentence in enumerate(sentences_of(model, batch)):
            gold = batch.tags[b, : len(sentence.emit)].tolist()
            fed = gold if feed == "scheduled" else None
            log_q = literal.log_softmax(literal.seq2seq(theta, list(words[b, : len(gold)]), fed, feed == "soft"))
            expected.append(brute.energy(sentence, np.exp(log_q)) - 0.3 * log_q[range(len(gold)), gold].sum())
        close(task.losses(batch, 0.3), expected)


# ------------------------------------------------------------------------------------------------------------- training


def train(settings: Settings, model: Tagger, make_task: Callable[[], Any]) -> tuple[Any, training.State]:
    """Without gold tags in the development corpus: it is the objective that is watched."""
    bare = [Sentence(sentence.words, (None,) * len(sentence)) for sentence in corpus_of(model).sentences]
    watched = IntegerizedCorpus(bare, model.lexicon.vocab, model.tagset)
    return amortizing.train(make_task, corpus_of(model), watched, settings, quiet=True)


@each_architecture
@pytest.mark.parametrize("objective", ["energy", "cost_augmented", "joint"])
def test_training_lowers_the_energy(settings: Settings, objective: str) -> None:
    model = make_tagger("crf_blstm", plus=settings.plus).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    how = replace(settings, max_steps=200, lr=0.05)
    new = lambda: networks.make_network(model, how, list)
    make_task = {
        "energy": lambda: amortizing.Amortization(new(), model, how),
        "cost_augmented": lambda: CostAugmented(new(), model, how),
        "joint": lambda: Joint(new(), new(), model, how),
    }[objective]
    torch.manual_seed(0)
    start, batch = make_task().eval(), make_batch(model)
    if objective == "cost_augmented":
        task, state = amortizing.train(make_task, corpus_of(model), corpus_of(model), how, quiet=True)
    else:
        task, state = train(how, model, make_task)
    assert task.losses(batch, 1.0).mean() < start.losses(batch, 1.0).mean() - 0.1
    assert [set(look) for look in state.history] == [{"epoch", "sentences", "error", "energy"}] * len(state.history)
    assert (objective == "joint") == (not torch.equal(task.model[0].trans, model.trans))


def test_energy_is_without_dropout_and_the_same_seed_gives_the_same_network() -> None:
    model = make_tagger("crf_blstm", plus=True).float()
    settings = Settings("cnn", hidden=3, plus=True, max_steps=20)
    found = []
    for _ in range(2):
        task = lambda: amortizing.Amortization(networks.make_network(model, settings, list), model, settings)
        trained, _ = train(settings, model, task)
        assert not model.training
        found.append(trained.network.network.output.weight)
    assert torch.equal(*found)
    trained.train()
    assert trained.network.training and not model.training and not model.network.training


@pytest.mark.parametrize("objective", ["energy", "cost_augmented"])
def test_what_is_watched(objective: str) -> None:
    """The error; of a cost-augmented network, and without gold tags, the objective."""
    model = make_tagger("crf_blstm").float()
    settings = Settings(hidden=3, max_steps=30, objective=objective)
    kind = CostAugmented if objective == "cost_augmented" else amortizing.Amortization
    make_task = lambda: kind(networks.make_network(model, settings, list), model, settings)
    corpus = corpus_of(model)
    task, state = amortizing.train(make_task, corpus, corpus, settings, quiet=True)
    batch = corpus.batch(torch.arange(len(corpus)))
    energy, loss = task.means(corpus)
    relaxed = networks.infnet(model, batch, network=task.network)
    assert energy == pytest.approx(float(relaxed.relaxed_energy.mean()), abs=1e-5)
    assert loss == pytest.approx(float(task.losses(batch, 1.0).detach().mean()), abs=1e-5)
    wrong = float((relaxed.tags != batch.tags)[batch.mask].double().mean())
    assert state.best_loss == pytest.approx(wrong if objective == "energy" else loss, abs=1e-5)
    task, state = train(settings, model, make_task)
    assert {look["error"] for look in state.history} == {None}
    if objective == "energy":
        assert state.best_loss == pytest.approx(min(look["energy"] for look in state.history), abs=1e-5)


def test_words_of_a_network() -> None:
    """The model's vectors as its file had them; `plus` adds its own tuning and characters, whatever the model has."""
    for plus, of_model in itertools.product((False, True), (False, True)):
        model = make_model(of_model)
        network = networks.make_network(model, Settings(plus=plus), list)
        kinds = [block.kind for block in network.lexicon.blocks]
        assert kinds == ["pretrained", *["characters"] * plus]
        block = network.lexicon.blocks[0]
        assert torch.equal(block.matrix.double(), model.lexicon.blocks[0].matrix.double())
        assert (block.delta is not None) == plus and (not plus or not block.delta.any())
        assert network.lexicon.vocab is model.lexicon.vocab


# ---------------------------------------------------------------------------------------------------------------- files


@each_architecture
def test_saved_and_loaded(settings: Settings, tmp_path: Path) -> None:
    model = make_model().float()
    network = networks.make_network(model, settings, list).eval()
    mark = networks.fingerprint(model)
    networks.save(network, tmp_path / "x.infnet", mark, settings, epochs=3)
    loaded = networks.load(tmp_path / "x.infnet", model, mark)
    batch = make_batch(model)
    assert torch.equal(loaded.logits(batch), network.logits(batch))
    told = dict(loaded.more["infnet"])
    assert told.pop("model") == mark and Settings(**{**told, "train": tuple(told["train"])}) == settings
    assert loaded.more["epochs"] == 3 and loaded.kind == networks.KINDS[settings.network]
    with torch.no_grad():
        model.trans[0, 0] += 1
    assert networks.load(tmp_path / "x.infnet", model, networks.fingerprint(model)) is None


def test_a_model_is_no_network(tmp_path: Path) -> None:
    model = make_model()
    model.save(tmp_path / "x.infnet")
    with pytest.raises(InputError, match="not an inference network, but a model of kind crf_blstm"):
        networks.load(tmp_path / "x.infnet", model, "")


def test_names_tell_settings_apart() -> None:
    every = [
        Settings(), Settings("blstm"), Settings(hidden=3), Settings(plus=True), Settings(window=2),
        Settings(weight=2.0), Settings(annealing="linear"), Settings(objective="joint"), Settings(lr=0.1),
        Settings(max_steps=7),
        Settings(seed=3), Settings("seq2seq", feed="soft"), Settings("seq2seq", feed="scheduled"),
        Settings(train=("ensup", "data/enraw")), Settings("seq2seq", layers=2),
    ]  # fmt: skip
    names = [settings.name for settings in every]
    assert len(set(names)) == len(names) and not any("/" in name for name in names)
    assert names[0] == "cnn" and names[3] == "cnn_plus" and names[-2] == "cnn_train=ensup+enraw"


# ----------------------------------------------------------------------------------------------------- the command line

TOY = ["toytest", "--model", "x.model", "--infnet_hidden", "4", "--infnet_steps", "120", "-q"]
NAME = "x.model.cnn_hidden=4_max_steps=120.infnet"


@pytest.fixture
def trained(call: Call, folder: Path) -> Call:
    """A BLSTM-CRF of the toy corpus in x.model."""
    (folder / "v.txt").write_text("the 1 0 0\ndog 0 1 1\nrun 1 1 0\nsees 0 0 1\n")
    arguments = ["--model", "crf_blstm", "-l", "v.txt", "--hidden", "4", *SHORT, "--save", "x.model", "-q"]
    assert call("toydev", *arguments).status == 0
    return call


def test_network_is_trained_once_and_shared(trained: Call, folder: Path) -> None:
    reports = {}
    for name in (*LEARNED, "infnet"):
        outcome: Outcome = trained(*TOY, "--decoder", name, "--metrics", "m.json")
        assert outcome.status == 0, outcome.err
        report = metrics()
        if name in reports:
            same = ("accuracy", "energy", "relaxed_energy", "network")
            assert all(report[key] == reports[name][key] for key in same)
        reports[name] = report
        assert report["decoder"] == name and report["search_error"] >= -1e-4
        assert report["relaxed_energy"] >= report["viterbi_energy"] - 1e-4
        assert report["network"]["infnet"]["max_steps"] == 120
    assert [path.name for path in folder.glob("*.infnet")] == [NAME]
    assert max(reports["warm_start"]["energy"], reports["tailored"]["energy"]) <= reports["infnet"]["energy"] + 1e-4
    as_model = trained("toytest", "--model", NAME, "--metrics", "m.json", "-q")
    assert as_model.status == 0 and metrics()["accuracy"] == reports["infnet"]["accuracy"]


def test_feeds_make_networks_of_their_own(trained: Call, folder: Path) -> None:
    weights = []
    for feed in FEEDS:
        assert trained(*TOY, "--decoder", "infnet", "--infnet", "seq2seq", "--infnet_feed", feed).status == 0
        more = "" if feed == "argmax" else f"_feed={feed}"
        file = folder / f"x.model.seq2seq_hidden=4{more}_max_steps=120.infnet"
        assert read_tensors(file)[0]["sizes"]["feed"] == feed
        weights.append(read_tensors(file)[1]["network.decoder.weight_hh"])
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(weights, 2))


def test_another_model_gets_another_network(trained: Call, folder: Path) -> None:
    said = [option for option in TOY if option != "-q"]
    assert (
        "training a cnn inference network on 60 sentences; early stopping watches toydev"
        in trained(*said, "--decoder", "infnet").err
    )
    before = (folder / NAME).read_bytes()
    again = trained(*said, "--decoder", "warm_start", "--iterations", "2", "--step", "0.5")
    assert "training a" not in again.err and (folder / NAME).read_bytes() == before
    other = ["--model", "crf_blstm", "-l", "v.txt", "--hidden", "5", *SHORT, "--save", "x.model", "-q"]
    assert trained("toydev", *other).status == 0
    outcome = trained(*said, "--decoder", "infnet")
    assert "was trained for another model" in outcome.err and (folder / NAME).read_bytes() != before


def test_joint_training_makes_a_model_too(trained: Call, folder: Path) -> None:
    joint = [*TOY, "--decoder", "infnet", "--infnet_objective", "joint"]
    assert trained(*joint, "--metrics", "m.json").status == 0
    first = metrics()
    stem = NAME.removesuffix("_max_steps=120.infnet") + "_objective=joint_max_steps=120"
    assert {f"{stem}.infnet", f"{stem}.model"} <= set(contents(folder))
    assert trained(*joint, "--metrics", "m.json").status == 0
    second = metrics()
    for report in (first, second):
        report.pop("tag_tokens_per_second")
    assert json.dumps(first) == json.dumps(second)
    assert trained("toytest", "--model", f"{stem}.model", "--metrics", "m.json", "-q").status == 0
    assert metrics()["viterbi_energy"] == pytest.approx(first["viterbi_energy"], abs=1e-4)


def test_models_of_other_kinds(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An HMM, whose words the network knows by words-50.txt; forbidden cells and all."""
    (folder / "words-50.txt").write_text("the 1 0 0\ndog 0 1 1\nrun 1 1 0\nsees 0 0 1\n")
    for kind in ("hmm", "local_cnn"):
        assert call("toydev", "--model", kind, *SHORT, "--lambda", "0", "--save", "x.model", "-q").status == 0
        for name in LEARNED:
            outcome = call(*TOY, "--decoder", name, "--metrics", "m.json")
            assert outcome.status == 0, outcome.err
            assert metrics()["accuracy"]["all"] > 0.2


@pytest.mark.parametrize("features", [["--problex"], ["--problex", "-l", "v.txt"], ["--affixes", "-l", "v.txt"]])
def test_network_does_not_depend_on_whether_the_model_was_just_trained(
    features: list[str], trained: Call, folder: Path
) -> None:
    """The model's own features of its training text are not in its file; the network knows words by vectors alone."""
    (folder / "words-50.txt").write_text((folder / "v.txt").read_text())
    network = ["--decoder", "infnet", "--infnet_hidden", "4", "--infnet_steps", "120", "-q", "--metrics", "m.json"]
    found = []
    for model in (
        ["--model", "crf_neural", *features, *SHORT, "--save", "p.model"],
        ["--model", "p.model"],
        ["--model", "p.model"],
    ):
        assert trained("toytest", *model, *network).status == 0
        report = metrics()
        file = folder / "p.model.cnn_hidden=4_max_steps=120.infnet"
        found.append((read_tensors(file)[1], report["energy"], report["relaxed_energy"], report["accuracy"]))
        assert [block["kind"] for block in read_tensors(file)[0]["lexicon"]["blocks"]] == ["pretrained"]
        if len(found) == 1:
            file.rename(folder / "first")
    (first, *of_first), (second, *of_second), (third, *of_third) = found
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert of_first == of_second == of_third


def test_bad_options(trained: Call, folder: Path) -> None:
    before = contents(folder)
    bad = {
        ("--infnet", "blstm", "--infnet_window", "2"): "--infnet_window does not go with --infnet blstm",
        ("--infnet_layers", "2"): "--infnet_layers does not go with --infnet cnn",
        ("--infnet_beam", "2"): "--infnet_beam does not go with --infnet cnn",
        ("--infnet_feed", "soft"): "--infnet_feed does not go with --infnet cnn",
        ("--infnet", "seq2seq", "--infnet_feed", "gold"): "--infnet_feed",
        ("--infnet", "seq2seq", "--infnet_feed", "soft", "--infnet_beam", "2"): "--infnet_beam does not go with",
        ("--infnet_train", "nowhere"): "nowhere: no such file",
        ("--infnet_hidden", "0"): "out of range",
        ("--infnet", "transformer"): "--infnet",
    }
    for options, message in bad.items():
        assert_one_line_error(trained("toytest", "--model", "x.model", "--decoder", "infnet", *options), message)
    (folder / "x_toysup").write_text(CORPORA["toysup"])
    other = trained("x_toysup", "--model", "x.model", "--infnet", "blstm", "--iterations", "3", "-o", "o", "-e", "e")
    assert other.status == 0 and "no effect of --infnet, --iterations" in other.err
    (folder / "x_toysup").unlink(), (folder / "o").unlink(), (folder / "e").unlink()
    assert contents(folder) == before


def test_no_corpus_to_train_on(trained: Call, folder: Path) -> None:
    (folder / "toysup").unlink()
    (folder / "text").write_text(CORPORA["toytest"])
    options = ["--model", "x.model", "--decoder", "infnet"]
    assert_one_line_error(trained("text", *options), "say --infnet_train NAME")
    (folder / "twosup").write_text(CORPORA["toysup"])
    (folder / "two").write_text("the/D dog/N")
    outcome = trained("text", *options, "--infnet_train", "twosup", "--infnet_hidden", "4", "--infnet_steps", "60")
    assert outcome.status == 0 and "the last tenth of the training sentences" in outcome.err
    assert_one_line_error(trained("text", *options, "--infnet_train", "two"), "two: one sentence is too little")


def test_broken_network_file(trained: Call, folder: Path) -> None:
    (folder / NAME).write_bytes(b"\x80\x04.pickle")
    assert_one_line_error(trained(*TOY, "--decoder", "infnet"), "a pickle")
    Path(NAME).write_bytes(Path("x.model").read_bytes())
    assert_one_line_error(trained(*TOY, "--decoder", "infnet"), "not an inference network")


def test_interrupted_training_leaves_the_model(trained: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder)
    step = training.Trainer.step

    def interrupted(*arguments: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training.Trainer, "step", interrupted)
        outcome = trained(*TOY, "--decoder", "infnet")
    assert outcome.status == 130 and "the inference network is not" in outcome.err
    assert contents(folder) == before
    assert trained(*TOY, "--decoder", "infnet").status == 0
