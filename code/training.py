"""Training: one loop for every model.

    until max_steps sentences: a minibatch, its gradient, an optimizer step; every eval_interval sentences look at the
    development corpus, keep the weights that did best there, and stop when they have not been beaten for a while.

The loss that is minimised is the mean over sentences of -logprob, plus reg |theta|^2 / N. Everything the loop knows
is in a `State`, which can be written to a checkpoint and read back: training then goes on as if it had not been
interrupted. Models that are trained by counting (the HMM) run expectation maximization instead of steps; see
`Trainer.count`. A recipe (recipe.py) lets groups of parameters learn at their own rates and times.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

import eval as evaluation
from corpus import Batch, InputError, IntegerizedCorpus
from hmm import Counts
from lexicon import SINGLETONS_AS_NOVEL
from recipe import parameter_groups
from state import State
from tagger import Tagger

GOOD_ENOUGH = 0.01  # nats a token on the training corpus: a restart could hardly do better


@dataclass(frozen=True)
class Settings:
    """How to train. Steps and intervals count sentences, as in the homework.

    Attributes:
        optimizer: adamw or sgd.
        lr: learning rate at its highest; it grows from 0 over the `warmup` share of max_steps, then stays (schedule
            constant) or falls to 0 along a cosine.
        patience: stop after so many evaluations in a row that do not beat the best one by the factor 1 - tolerance.
        reg: weight of the L2 regularizer |theta|^2, which all N training sentences share.
        clip: largest norm of a gradient, 0 for any.
        sum_over_batch: step on the sum over the minibatch in place of the mean.
        loss: what is watched on the development corpus: cross_entropy or viterbi_error.
        smoothing: the HMM's lambda.
        restarts: how often to start again from other weights, for the lowest loss on the training corpus.
        recipe: groups of parameters that do not simply follow these settings, as `recipe.Group` takes them.
    """

    optimizer: str = "adamw"
    lr: float = 0.01
    batch_size: int = 32
    max_steps: int = 100_000
    eval_interval: int = 5_000
    patience: int = 6
    tolerance: float = 0.0
    reg: float = 0.0
    schedule: str = "cosine"
    warmup: float = 0.05
    clip: float = 5.0
    sum_over_batch: bool = False
    loss: str = "cross_entropy"
    smoothing: float = 0.01
    restarts: int = 0
    seed: int = 0
    recipe: Sequence[Mapping[str, Any]] = ()

    def learning_rate(self, sentences: int, peak: float | None = None) -> float:
        """The learning rate after so many sentences, of what has this one at its highest (default: `lr`)."""
        done = min(1.0, sentences / self.max_steps)
        rising = min(1.0, done / self.warmup) if self.warmup else 1.0
        peak = self.lr if peak is None else peak
        return peak * rising * (1.0 if self.schedule == "constant" else 0.5 * (1 + math.cos(math.pi * done)))


class Interrupted(Exception):
    """Training was asked to stop; the trainer's `state` is whole."""


class Trainer:
    """Trains one model.

    Args:
        make_tagger: a new model, its weights drawn from torch's global generator.
        state: that of an interrupted run, to go on with.
        stop_requested: asked after every step.
    """

    def __init__(
        self,
        make_tagger: Callable[[], Tagger],
        training: IntegerizedCorpus,
        dev: IntegerizedCorpus,
        settings: Settings,
        state: State | None = None,
        stop_requested: Callable[[], bool] = lambda: False,
        device: str = "cpu",
        quiet: bool = False,
    ):
        self.make_tagger, self.training, self.dev, self.settings = make_tagger, training, dev, settings
        self.resuming, self.state = state is not None, state or State()
        self.stop_requested, self.device, self.quiet = stop_requested, device, quiet
        # None: no bar where standard error is no terminal
        self.no_bar = True if quiet or os.environ.get("TQDM_DISABLE") else None

    def run(self) -> Tagger:
        """The trained model, with the weights that did best on the development corpus.

        Raises:
            Interrupted: a stop was requested.
        """
        while True:
            torch.manual_seed(self.settings.seed + 1000 * self.state.attempt)
            tagger = self.make_tagger().to(self.device)
            self.count(tagger) if tagger.trained_by == "counts" else self.descend(tagger)
            tagger.eval()
            if self.settings.restarts == 0:
                return tagger
            loss = self.timed(lambda: evaluation.cross_entropy(tagger, self.training).joint)
            if loss < self.state.winner_loss:
                self.state.winner_loss = loss
                self.state.put("winner", tagger.state_dict())
            if self.state.attempt == self.settings.restarts or self.state.winner_loss < GOOD_ENOUGH:
                tagger.load_state_dict(self.state.part("winner"))
                return tagger
            self.say(f"attempt {self.state.attempt + 1}: {loss:.4f} nats a token on the training corpus; another start")
            self.state = self.state.next_attempt()

    def descend(self, tagger: Tagger) -> None:
        """Stochastic gradient descent until the development corpus says stop; then the best weights."""
        settings, state = self.settings, self.state
        optimizer = self.optimizer(tagger)
        order: list[Tensor] = []
        if self.resuming:
            order = self.restore(tagger, optimizer)
        bar = tqdm(
            total=settings.max_steps, initial=state.sentences, desc=f"training {tagger.kind}", unit=" sentences",
            disable=self.no_bar, leave=False, mininterval=0.5,
        )  # fmt: skip
        tagger.train()
        with bar:
            while state.sentences < settings.max_steps:
                began = time.perf_counter()
                if not order:
                    order = self.training.shuffled(settings.batch_size)
                    state.epoch += 1
                    state.epochs += 1
                loss = self.step(tagger, optimizer, order.pop())
                spent = time.perf_counter() - began
                state.seconds += spent
                state.step_seconds += spent
                bar.update(state.sentences - bar.n)
                bar.set_postfix(loss=f"{loss:.3f}", best=f"{state.best_loss:.4f}", refresh=False)
                if state.sentences >= min(state.next_evaluation or settings.eval_interval, settings.max_steps):
                    state.next_evaluation = state.sentences + settings.eval_interval
                    if self.timed(lambda: self.evaluate(tagger)):
                        break
                if self.stop_requested():
                    self.remember(tagger, optimizer, order)
                    raise Interrupted
        tagger.load_state_dict(state.part("best"))

    def optimizer(self, tagger: Tagger) -> torch.optim.Optimizer:
        """The optimizer that `step` takes: groups of parameters by the recipe. Raises InputError if it does not fit."""
        kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[self.settings.optimizer]
        return kind(parameter_groups(tagger, self.settings.recipe, self.settings.lr), fused=self.device != "mps")

    def step(self, tagger: Tagger, optimizer: torch.optim.Optimizer, sentences: Tensor) -> float:
        """One minibatch; returns its loss, nats a sentence, before the first of its steps, which mostly are one."""
        settings, state = self.settings, self.state
        batch = self.training.batch(sentences).to(self.device)
        for group in optimizer.param_groups:
            rate = settings.learning_rate(state.sentences, group["peak"])
            group["lr"] = rate * (len(batch) if settings.sum_over_batch else 1)
        optimizer.zero_grad(set_to_none=True)
        losses = []
        for loss in tagger.gradients(batch, settings.reg, len(self.training)):
            losses.append(loss)
            self.freeze(optimizer)
            if settings.clip:
                torch.nn.utils.clip_grad_norm_(tagger.parameters(), settings.clip)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        state.sentences += len(batch)
        state.tokens += int(batch.lengths.sum())
        return losses[0]

    def freeze(self, optimizer: torch.optim.Optimizer) -> None:
        """Take away the gradients of what does not learn in this epoch: then an optimizer takes no step, no decay."""
        for group in optimizer.param_groups:
            if not group["group"].learns(self.state.epoch):
                for parameter in group["params"]:
                    parameter.grad = None

    def evaluate(self, tagger: Tagger) -> bool:
        """Look at the development corpus, keep the weights if they are the best so far; whether to stop."""
        state = self.state
        tagger.eval()
        scores = evaluation.cross_entropy(tagger, self.dev)
        loss = scores.joint
        if self.settings.loss == "viterbi_error":
            loss = evaluation.viterbi_error(tagger, self.dev)
        tagger.train()
        state.history.append(
            dict(attempt=state.attempt, epoch=state.epoch, sentences=state.sentences, loss=loss, seconds=state.seconds)
        )
        better = loss < state.best_loss * (1 - self.settings.tolerance)
        self.say(
            f"epoch {state.epoch}, {state.sentences:,} sentences: dev cross-entropy {scores.joint:.4f} nats a token, "
            f"perplexity {scores.perplexity:.3f}"
            + (f", error {loss:.2%}" if self.settings.loss == "viterbi_error" else "")
            + (" (best so far)" if loss < state.best_loss else "")
        )
        if loss < state.best_loss or not state.part("best"):
            state.best_loss = loss
            state.put("best", tagger.state_dict())
        state.since_best = 0 if better else state.since_best + 1
        return state.since_best >= self.settings.patience

    def count(self, tagger: Tagger) -> None:
        """Expectation maximization: one iteration where every tag is seen, else until `patience` says stop."""
        settings, state = self.settings, self.state
        if self.resuming:
            self.restore(tagger, None)
        supervised = bool((self.training.tags >= 0).all())
        batches = self.training.by_length(evaluation.BATCH)
        while state.sentences < settings.max_steps:
            began = time.perf_counter()
            tagger.train()
            total = None
            for sentences in tqdm(batches, desc="counting", unit=" batches", disable=self.no_bar, leave=False):
                counts = self.expected_counts(tagger, self.training.batch(sentences).to(self.device))
                total = counts if total is None else Counts(*map(torch.add, total, counts))
                if self.stop_requested():
                    self.remember(tagger, None, [])
                    raise Interrupted
            tagger.m_step(total, settings.smoothing)
            state.sentences += len(self.training)
            state.tokens += self.training.tokens
            state.epoch += 1
            state.epochs += 1
            state.step_seconds += time.perf_counter() - began
            state.seconds += time.perf_counter() - began
            if self.timed(lambda: self.evaluate(tagger)) or supervised:
                break
        tagger.load_state_dict(state.part("best"))

    def expected_counts(self, tagger: Tagger, batch: Batch) -> Counts:
        """Of a batch, words that occur once half as themselves and half as OOV: what drawing them would come to."""
        lexicon, half = tagger.lexicon, SINGLETONS_AS_NOVEL
        found = []
        for share in (0.0, 1.0) if 1 in lexicon.training_counts.values() else (0.0,):
            lexicon.novel_share = share
            found.append(tagger.e_step(batch)[0])
        lexicon.novel_share = half
        known, novel = found[0], found[-1]
        return Counts(*((1 - half) * one + half * other for one, other in zip(known, novel)))

    def remember(self, tagger: Tagger, optimizer: torch.optim.Optimizer | None, order: list[Tensor]) -> None:
        """Put all that the loop holds into the state."""
        state = self.state
        state.put("weights", tagger.state_dict())
        state.order_sizes = [len(sentences) for sentences in order]
        state.put("order", {"sentences": torch.cat(order)} if order else {})
        generators = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            generators["cuda"] = torch.cuda.get_rng_state()
        state.put("generator", generators)
        moments = optimizer.state_dict()["state"] if optimizer else {}
        state.put("optimizer", {f"{i}.{name}": value for i, slot in moments.items() for name, value in slot.items()})

    def restore(self, tagger: Tagger, optimizer: torch.optim.Optimizer | None) -> list[Tensor]:
        """Undo `remember`: the batches that are left of the epoch."""
        state, self.resuming = self.state, False
        try:
            tagger.load_state_dict(state.part("weights"))
            if optimizer:
                content = optimizer.state_dict()
                for name, tensor in state.part("optimizer").items():
                    number, key = name.split(".", 1)
                    content["state"].setdefault(int(number), {})[key] = tensor
                optimizer.load_state_dict(content)
            generators = state.part("generator")
            torch.set_rng_state(generators["cpu"])
            if "cuda" in generators and torch.cuda.is_available():
                torch.cuda.set_rng_state(generators["cuda"])
            order = state.part("order").get("sentences", torch.empty(0, dtype=torch.long))
            return list(order.split(state.order_sizes)) if state.order_sizes else []
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"the checkpoint does not fit this model: {str(error).splitlines()[0]}") from None

    def timed(self, work: Callable[[], Any]) -> Any:
        """The result of `work`, its time added to that of training."""
        began = time.perf_counter()
        result = work()
        self.state.seconds += time.perf_counter() - began
        return result

    def say(self, message: str) -> None:
        if not self.quiet:
            tqdm.write(message, file=sys.stderr)
