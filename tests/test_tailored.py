"""Networks of each sentence's own, and gradient descent from where a network ends; in float64.

Tailoring, which runs all copies at once, is held against plain descent on one network for one sentence at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from decoders import decoder
from decoders import gradient_descent as descents
from decoders import tailored as tailoring
from decoders.gradient_descent import Descent
from decoders.infnet import Settings as Network
from decoders.infnet import infnet
from decoders.relaxation import finite
from decoders.tailored import StepwiseLSTM, stepwise, tailor, tailored
from decoders.warm_start import warm_start
from local import LocalTagger
from tagger import Tagger
from test_infnet import ARCHITECTURES, each_architecture, make_model, make_network
from test_local import LINES, close, make_batch, of_network

HOW = descents.Settings(iterations=4, step=0.05, momentum=0.8)


def tailored_alone(model: Tagger, network: LocalTagger, line: str) -> tuple[list[float], list[float], Tensor]:
    """Relaxed and discrete energies of each step, and the best tagging, by torch.optim on a copy of the network."""
    batch, own = make_batch(model, [line]), copy.deepcopy(network.network)
    words, chain = network.lexicon.embed(batch).detach(), model(batch).detach()
    optimizer = torch.optim.SGD(own.parameters(), lr=HOW.step, momentum=HOW.momentum)
    relaxed, discrete, taggings = [], [], []
    for _ in range(HOW.iterations + 1):
        optimizer.zero_grad()
        logits = own(words, batch.lengths)
        energy = chain.energy(logits.softmax(dim=2)).sum()
        taggings.append(logits.argmax(dim=2)[0])
        relaxed.append(energy.item())
        discrete.append(-chain.score(taggings[-1][None]).item())
        energy.backward()
        optimizer.step()
    return relaxed, discrete, taggings[discrete.index(min(discrete))]


def descent_of(model: Tagger, network: LocalTagger, lines: Sequence[str] = tuple(LINES)) -> Descent:
    batch = make_batch(model, lines)
    return tailor(model(batch), network.network, network.lexicon.embed(batch), HOW)


@each_architecture
def test_all_at_once_is_one_at_a_time(settings: Network) -> None:
    model = make_model()
    network = make_network(model, settings)
    before = {name: x.copy() for name, x in of_network(network).items()}
    found = descent_of(model, network)
    decoded = tailored(model, make_batch(model), network=network, settings=HOW)
    for b, line in enumerate(LINES):
        relaxed, discrete, best = tailored_alone(model, network, line)
        close(found.relaxed_energies[:, b], relaxed, 1e-8)
        close(found.energies[:, b], discrete, 1e-8)
        assert found.tags[b, : len(best)].tolist() == best.tolist() == decoded.tags[b, : len(best)].tolist()
        close(decoded.relaxed_energy[b], relaxed[-1], 1e-8)
        close(decoded.energy[b], min(discrete), 1e-8)
    assert all((x == before[name]).all() for name, x in of_network(network).items())


@pytest.mark.parametrize("name", ["tailored", "warm_start"])
@each_architecture
def test_sentence_alone_in_any_batch_and_any_order(
    settings: Network, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    decode = decoder(name, make_network(model, settings), iterations=3, step=0.05)
    together = decode(model, make_batch(model))
    monkeypatch.setattr(tailoring, "LARGEST", 1)  # a sentence after the other
    mixed = decode(model, make_batch(model, LINES[::-1]))
    close(mixed.relaxed_energy.flip(0), together.relaxed_energy)
    close(mixed.energy.flip(0), together.energy)
    for b, line in enumerate(LINES):
        alone, n = decode(model, make_batch(model, [line])), len(line.split())
        assert alone.tags[0].tolist() == together.tags[b, :n].tolist()
        close(alone.relaxed[0], together.relaxed[b, :n])
        assert (together.tags[b, n:] == -1).all() and not together.relaxed[b, n:].any()


def test_chain_that_is_given_is_used() -> None:
    model = make_model()
    other = copy.deepcopy(model)
    other.lexicon.vocab = model.lexicon.vocab
    with torch.no_grad():
        other.trans.mul_(-3)
    network = make_network(model)
    batch = make_batch(model)
    for name in ("infnet", "tailored", "warm_start"):
        decode = decoder(name, network)
        close(decode(model, batch, other(batch)).energy, decode(other, batch).energy)


@pytest.mark.parametrize("name", ["tailored", "warm_start"])
def test_never_worse_than_the_network_and_more_steps_never_worse(name: str) -> None:
    model = make_model()
    batch = make_batch(model)
    for settings in ARCHITECTURES:
        network = make_network(model, settings)
        energies = [infnet(model, batch, network=network).energy]
        for iterations in (0, 1, 3, 10):
            energies.append(decoder(name, network, iterations=iterations, step=0.1)(model, batch).energy)
        close(energies[1], energies[0])
        assert (torch.stack(energies[1:]).diff(dim=0) <= 1e-9).all()


def test_small_steps_lower_the_relaxed_energy() -> None:
    """Without momentum and with a step that is small enough, each one of them does, in either procedure."""
    model = make_model()
    network = make_network(model)
    batch = make_batch(model)
    small = descents.Settings(iterations=20, step=1e-3, momentum=0.0)
    by_network = tailor(model(batch), network.network, network.lexicon.embed(batch), small).relaxed_energies
    by_logits = descents.descend(model(batch), network.logits(batch).detach(), 20, 1e-3, 0.0).relaxed_energies
    for energies in (by_network, by_logits):
        assert (energies.diff(dim=0) <= 1e-12).all() and (energies[-1] < energies[0]).all()
    close(by_network[0], by_logits[0])


def test_warm_start_begins_with_the_logits_of_the_network() -> None:
    model = make_model()
    network, batch = make_network(model), make_batch(model)
    how = descents.Settings(iterations=6, step=0.3)
    found = warm_start(model, batch, network=network, settings=how)
    expected = descents.descend(model(batch), network.logits(batch).detach(), 6, 0.3)
    close(found.energy, expected.energy)
    close(found.relaxed, expected.last.relaxed)
    none = warm_start(model, batch, network=network, settings=descents.Settings(iterations=0))
    output = infnet(model, batch, network=network)
    close(none.relaxed, output.relaxed)
    assert torch.equal(none.tags, output.tags)
    assert (found.energy <= output.energy).all()
    assert (found.relaxed_energy < output.relaxed_energy).all()
    close(finite(model(batch)).energy(found.relaxed), found.relaxed_energy)


@each_architecture
def test_twin_that_vmap_can_run_is_the_network(settings: Network) -> None:
    """The same function of the same parameters, which are shared, not copied."""
    network = make_network(make_model(), settings).network
    twin = stepwise(network)
    words = torch.randn(3, 5, network_input(network), generator=torch.Generator().manual_seed(0)).double()
    lengths = torch.tensor([5, 1, 3])
    close(twin(words, lengths), network(words, lengths))
    assert {name: id(x) for name, x in twin.named_parameters()} == {
        name: id(x) for name, x in network.named_parameters()
    }
    recurrent = any(isinstance(module, StepwiseLSTM) for module in twin.modules())
    assert recurrent == (settings.network != "cnn")


def network_input(network: torch.nn.Module) -> int:
    """The dimension of the word features that it reads."""
    if hasattr(network, "convolutions"):
        return network.convolutions[0].in_channels
    return network.layers[0].rightward.input_size
