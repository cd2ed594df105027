"""Networks that learn with a margin, and an energy that learns with them.

Structured prediction by margin rescaling wants the energy E(w, t) of the gold tagging t to be lower than that of any
other tagging y by the cost of y. The most violating y is sought by a cost-augmented network F, the best y by a network
A for use, both with relaxed taggings as outputs. With the L1 distance as cost,

    D(t, y) = sum_i |1[t_i] - y_i|_1        (two for each wrong tag, where y is discrete)

cost_augmented (the network's part of Tu and Gimpel 2018), the energy as it is:

    min over F of   mean  E(w, F(w)) - D(t, F(w)) + lambda token_loss(F)

joint (Tu, Pang and Gimpel 2020), a step of the networks and a step of the energy on each minibatch in turn:

    networks    min over F, A of   mean  E(w, F(w)) - D(t, F(w)) + E(w, A(w)) + lambda token_loss(A)
    energy      min over theta of  mean  max(0, D(t, F(w)) - E(w, F(w)) + E(w, t)) + max(0, E(w, t) - E(w, A(w)))

The networks' objective is not cut off at 0, as theirs is not in the authors' code. A and F share no parameters. Costs
are of the words with a gold tag, and only sentences that are tagged throughout have an E(w, t) to learn by.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from corpus import Batch
from decoders.infnet import Settings
from decoders.infnet_training import Amortization, group, token_loss
from local import LocalTagger
from tagger import Tagger

ENERGY_LR = 0.001  # that of Tu, Pang and Gimpel's code


def distance(q: Float[Tensor, "B n k"], tags: Int[Tensor, "B n"]) -> Float[Tensor, "B"]:
    """D(tags, q) of each sentence; 0 at a tag that is -1."""
    one_hot = nn.functional.one_hot(tags.clamp(min=0), q.shape[2]).to(q.dtype)
    return torch.where(tags >= 0, (one_hot - q).abs().sum(dim=2), 0.0).sum(dim=1)


class CostAugmented(Amortization):
    """A network that looks for taggings of low energy and high cost: it is not to err little."""

    watches_error = False

    def losses(self, batch: Batch, weight: float) -> Float[Tensor, "B"]:
        logits, relaxation = self.network.logits(batch), self.relaxation(batch)
        q = relaxation.softmax(logits)
        return relaxation.energy_of(q) - distance(q, batch.tags) + weight * token_loss(logits, batch.tags)


class Joint(Amortization):
    """Two networks and an energy.

    Args:
        network, settings: see Amortization; the network is A.
        cost_augmented: F.
        model: whose energy is where learning begins; it is copied.
    """

    def __init__(self, network: LocalTagger, cost_augmented: LocalTagger, model: Tagger, settings: Settings):
        super().__init__(network, model, settings)
        self.cost_augmented, self.learned = cost_augmented, copy.deepcopy(model)
        self.learned.lexicon.vocab = model.lexicon.vocab
        self.model = (self.learned,)

    def train(self, mode: bool = True) -> Joint:
        """The networks have their dropout in training; the energy never."""
        super().train(mode)
        self.learned.eval()
        return self

    def losses(self, batch: Batch, weight: float) -> Float[Tensor, "B"]:
        """Of the networks."""
        relaxation = self.relaxation(batch)
        logits, best = self.cost_augmented.logits(batch), self.network.logits(batch)
        F, A = relaxation.softmax(logits), relaxation.softmax(best)
        violating = relaxation.energy_of(F) - distance(F, batch.tags)
        return violating + relaxation.energy_of(A) + weight * token_loss(best, batch.tags)

    def energy_losses(self, batch: Batch) -> Float[Tensor, "B"]:
        """Of the energy."""
        chain = self.learned(batch)
        F, A = (network(batch).marginals for network in (self.cost_augmented, self.network))
        whole = tagged_throughout(batch)
        gold = -chain.score(torch.where(whole[:, None], batch.tags, 0))
        margin = (distance(F, batch.tags) - chain.energy(F) + gold).relu()
        perceptron = (gold - chain.energy(A)).relu()
        return torch.where(whole, margin + perceptron, 0.0)

    def gradients(self, batch: Batch, reg: float, N: int) -> Iterator[float]:
        yield from super().gradients(batch, reg, N)
        loss = self.energy_losses(batch).mean()
        loss.backward()
        yield loss.item()

    def squared_norm(self) -> Float[Tensor, ""]:
        """Of what the networks' step moves."""
        return self.network.squared_norm() + self.cost_augmented.squared_norm()

    def groups(self, lr: float) -> list[dict[str, Any]]:
        networks = [*self.network.parameters(), *self.cost_augmented.parameters()]
        return [group(networks, lr), group(list(self.learned.parameters()), ENERGY_LR)]


def tagged_throughout(batch: Batch) -> Bool[Tensor, "B"]:
    return ((batch.tags >= 0) | ~batch.mask).all(dim=1)
