"""Training inference networks (Tu and Gimpel 2019, section 4): to be minimised over the parameters of A is

    mean over sentences (w, t) of  E(w, A(w)) + lambda sum_i -log A(w)_i[t_i]

where the energy E is that of a trained model, which does not change and is evaluated without dropout. The second term,
the token loss, is over the words that have a gold tag. The network itself has its dropout, if any, in training; the
energy is then that of its noisy output. The loop is that of all models (training.py): a network is what it trains,
the one that errs least on the development corpus is kept.

The energy of a training sentence is that of the model as its file has it. In particular its problex features are from
the counts of all the training text. The model itself was trained with counts of nine tenths for each tenth; those are
not in the file, and what a network becomes must not depend on whether the model was loaded or has just been trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import eval as evaluation
import training
from corpus import Batch, IntegerizedCorpus
from decoders.infnet import Settings
from decoders.relaxation import Relaxation, finite
from local import IndependentTags, LocalSeq2Seq, LocalTagger
from recipe import Group
from tagger import Tagger


def annealed(weight: float, how: str, epoch: int) -> float:
    """lambda in an epoch, counted from 0: as it is, weight (1 - .01 epoch) (never below 0), or weight e^(-.01 epoch).

    The exponential is in the paper (for networks of two layers), the linear one in its authors' code.
    """
    falls = {"none": 1.0, "linear": max(0.0, 1 - 0.01 * epoch), "exponential": math.exp(-0.01 * epoch)}
    return weight * falls[how]


def gold_share(settings: Settings, seen: int) -> float:
    """How often a seq2seq network reads a gold label after so many training sentences: scheduled sampling with linear
    decay (Bengio et al. 2015), from always to never."""
    return max(0.0, 1 - seen / settings.max_steps) if settings.feed == "scheduled" else 0.0


def token_loss(logits: Float[Tensor, "B n k"], tags: Int[Tensor, "B n"] | None) -> Float[Tensor, "B"]:
    """Of each sentence the sum of the cross entropies of its gold tags; a -1 has none."""
    if tags is None:
        return logits.new_zeros(len(logits))
    losses = nn.functional.cross_entropy(logits.transpose(1, 2), tags, ignore_index=-1, reduction="none")
    return losses.sum(dim=1)


class Amortization(Tagger):
    """A network with its objective, as the loop of training.py takes it.

    Args:
        network: A.
        model: whose energy it learns to minimise.
        settings: lambda and its annealing.
    """

    kind = "inference network"
    watches_error = True  # on the development corpus, where it has gold tags

    def __init__(self, network: LocalTagger, model: Tagger, settings: Settings):
        nn.Module.__init__(self)
        self.network, self.tagset, self.settings = network, network.tagset, settings
        self.model = (model.eval(),)  # in a tuple, it is no part of what is trained and kept
        self.seen = 0  # sentences

    def forward(self, batch: Batch) -> IndependentTags:
        return self.network(batch)

    def token_weight(self, N: int) -> float:
        """lambda now, with N training sentences."""
        return annealed(self.settings.weight, self.settings.annealing, self.seen // N)

    def relaxation(self, batch: Batch) -> Relaxation:
        """The energy of the batch's relaxed taggings, without gradients into the model."""
        with torch.no_grad():
            return Relaxation(finite(self.model[0](batch)))

    def losses(self, batch: Batch, weight: float) -> Float[Tensor, "B"]:
        """Of each sentence the objective at the head of this module."""
        logits, relaxation = self.network.logits(batch), self.relaxation(batch)
        return relaxation.energy_of(relaxation.softmax(logits)) + weight * token_loss(logits, batch.tags)

    def gradients(self, batch: Batch, reg: float, N: int) -> Iterator[float]:
        for network in self.modules():
            if isinstance(network, LocalSeq2Seq):
                network.gold_share = gold_share(self.settings, self.seen)
        loss = self.losses(batch, self.token_weight(N)).mean() + reg / N * self.squared_norm()
        loss.backward()
        self.seen += len(batch)
        yield loss.item()

    def groups(self, lr: float) -> list[dict[str, Any]]:
        """The parameters as an optimizer takes them, see recipe.parameter_groups."""
        return [group(list(self.parameters()), lr)]

    @torch.no_grad()
    def means(self, corpus: IntegerizedCorpus) -> tuple[float, float]:
        """Energy of the relaxed outputs and objective, over sentences."""
        device, energy, loss = next(self.network.parameters()).device, 0.0, 0.0
        for sentences in corpus.by_length(evaluation.BATCH):
            batch = corpus.batch(sentences).to(device)
            energy += Amortization.losses(self, batch, 0.0).sum().item()
            loss += self.losses(batch, self.settings.weight).sum().item()
        return energy / len(corpus), loss / len(corpus)


def group(parameters: list[nn.Parameter], lr: float) -> dict[str, Any]:
    return dict(params=parameters, lr=lr, peak=lr, weight_decay=0.0, group=Group("rest"))


class NetworkTrainer(training.Trainer):
    """Watches the share of tags that the network misses on the development corpus; without gold tags, the objective."""

    def optimizer(self, tagger: Amortization) -> torch.optim.Optimizer:
        return torch.optim.AdamW(tagger.groups(self.settings.lr), fused=self.device != "mps")

    def evaluate(self, tagger: Amortization) -> bool:
        state = self.state
        tagger.eval()
        energy, loss = tagger.means(self.dev)
        error = evaluation.viterbi_error(tagger, self.dev) if (self.dev.tags >= 0).any() else None
        tagger.train()
        if error is not None and tagger.watches_error:
            loss = error
        state.history.append(dict(epoch=state.epoch, sentences=state.sentences, error=error, energy=energy))
        best = loss < state.best_loss
        self.say(
            f"epoch {state.epoch}, {state.sentences:,} sentences: dev energy {energy:.3f} nats a sentence"
            + (f", error {error:.2%}" if error is not None else "")
            + (" (best so far)" if best else "")
        )
        if best or not state.part("best"):
            state.best_loss = loss
            state.put("best", tagger.state_dict())
        state.since_best = 0 if best else state.since_best + 1
        return state.since_best >= self.settings.patience


def train(
    make_task: Callable[[], Amortization],
    corpus: IntegerizedCorpus,
    dev: IntegerizedCorpus,
    settings: Settings,
    reg: float = 0.0,
    stop_requested: Callable[[], bool] = lambda: False,
    device: str = "cpu",
    quiet: bool = False,
) -> tuple[Amortization, training.State]:
    """The trained task, and how it went.

    Raises:
        training.Interrupted: a stop was requested.
    """
    how = training.Settings(
        lr=settings.lr, max_steps=settings.max_steps, eval_interval=min(5_000, len(corpus)), reg=reg, seed=settings.seed
    )
    trainer = NetworkTrainer(make_task, corpus, dev, how, None, stop_requested, device, quiet)
    return trainer.run(), trainer.state
