"""The training loop on an artificial corpus: what it minimises, which weights it keeps, when it stops and starts again,
and that an interrupted run goes on to the same result, bit for bit.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import chain
import eval as evaluation
from corpus import InputError, IntegerizedCorpus, Sentence, parse_sentence
from integerize import Integerizer
from lexicon import Lexicon
from tagger import Tagger, tagger_class
from training import GOOD_ENOUGH, Interrupted, Settings, State, Trainer

TAGS = ["D", "N", "V"]
WORDS = {"D": ["the", "a", "this"], "N": ["dog", "cat", "saw", "run"], "V": ["saw", "run", "sleeps"]}
SMALL = dict(rnn_dim=3, transition_features=2, emission_features=4, tag_dim=3)
FAST = Settings(lr=0.05, batch_size=8, max_steps=240, eval_interval=60, patience=99)  # 60 sentences: four epochs


def artificial(number: int, seed: int) -> list[Sentence]:
    """Sentences of one to six words, some of them ambiguous, one tag in ten at random; names that occur once."""
    drawn = random.Random(seed)
    sentences = []
    for index in range(number):
        tags = [drawn.choice(TAGS) if drawn.random() < 0.1 else "DNV"[i % 3] for i in range(drawn.randint(1, 6))]
        words = [f"name{seed}.{index}" if drawn.random() < 0.1 else drawn.choice(WORDS[tag]) for tag in tags]
        sentences.append(Sentence(tuple(words), tuple(tags)))
    return sentences


def bare(sentences: Sequence[Sentence]) -> list[Sentence]:
    return [Sentence(sentence.words, (None,) * len(sentence)) for sentence in sentences]


@dataclass
class Task:
    """Corpora and a way to make models, built afresh each time: nothing is left over from an earlier run."""

    kind: str = "crf_backprop"
    training: Sequence[Sentence] = tuple(artificial(60, seed=1))
    dev: Sequence[Sentence] = tuple(artificial(25, seed=2))
    prepare: Callable[[Tagger, int], Any] = lambda tagger, attempt: None  # done to each new model
    sizes: dict[str, Any] = field(default_factory=dict)

    def trainer(self, settings: Settings = FAST, state: State | None = None, stop_at: int = 0) -> Trainer:
        """Args: stop_at: request a stop the how many-th time that it is asked for."""
        lexicon = Lexicon.from_corpus(self.training)
        tagset = Integerizer(TAGS)
        training = IntegerizedCorpus(self.training, lexicon.vocab, tagset, training=True)
        dev = IntegerizedCorpus(self.dev, lexicon.vocab, tagset)
        self.made = self.asked = 0

        def make_tagger() -> Tagger:
            tagger = tagger_class(self.kind)(tagset, lexicon, **(SMALL if self.kind == "crf_neural" else self.sizes))
            self.prepare(tagger, self.made)
            self.made += 1
            return tagger

        def stop_requested() -> bool:
            self.asked += 1
            return self.asked == stop_at

        return Trainer(make_tagger, training, dev, settings, state, stop_requested, quiet=True)

    def run(self, settings: Settings = FAST) -> tuple[Tagger, State]:
        trainer = self.trainer(settings)
        return trainer.run(), trainer.state


def weights(tagger: Tagger) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tagger.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def without_seconds(history: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in entry.items() if name != "seconds"} for entry in history]


def losses(state: State) -> list[float]:
    return [entry["loss"] for entry in state.history]


def set_all(tagger: Tagger, value: float) -> None:
    with torch.no_grad():
        for parameter in tagger.parameters():
            parameter.fill_(value)


# --------------------------------------------------------------------------------------------- learning, early stopping


@pytest.mark.parametrize("kind", ["crf", "crf_backprop", "crf_neural", "crf_extended"])
def test_loss_falls(kind: str) -> None:
    task = Task(kind)
    tagger, state = task.run(replace(FAST, max_steps=480))
    tokens = sum(len(sentence) for sentence in task.dev)
    uniform = math.log(len(TAGS)) * tokens / (tokens + len(task.dev))
    assert losses(state)[-1] < 0.9 * losses(state)[0] and losses(state)[-1] < 0.75 * uniform
    assert not tagger.training


@pytest.mark.parametrize("kind", ["crf_backprop", "crf_neural"])
@pytest.mark.parametrize("loss", ["cross_entropy", "viterbi_error"])
def test_best_weights_are_returned(kind: str, loss: str) -> None:
    """With a learning rate that is too high the last weights are not the best ones."""
    task = Task(kind)
    trainer = task.trainer(replace(FAST, lr=3.0, loss=loss, schedule="constant", eval_interval=16))
    tagger = trainer.run()
    history = losses(trainer.state)
    if loss == "cross_entropy":
        reached = evaluation.cross_entropy(tagger, trainer.dev).joint
        assert history[-1] > min(history)
    else:
        reached = evaluation.viterbi_error(tagger, trainer.dev)
        tokens = trainer.dev.tokens
        assert all(value * tokens == pytest.approx(round(value * tokens)) for value in history)
    assert reached == pytest.approx(min(history), abs=1e-7)
    assert trainer.state.best_loss == min(history)


@pytest.mark.parametrize("kernels", [True, False])
def test_hidden_tags_and_untagged_words_are_trained_on(monkeypatch: pytest.MonkeyPatch, kernels: bool) -> None:
    """A CRF learns from partly tagged sentences; untagged ones teach it nothing, and do no harm."""
    if not kernels:
        monkeypatch.setattr(chain, "chain_fast", None)
    partly = [Sentence(s.words, tuple(tag if i % 2 else None for i, tag in enumerate(s.tags))) for s in Task.training]
    _, state = Task(training=partly).run()
    assert losses(state)[-1] < losses(state)[0]
    tagger, _ = Task(training=bare(Task.training)).run()
    assert all(not parameter.any() for parameter in tagger.parameters())


def test_steps_are_counted_in_sentences() -> None:
    """Minibatches of 8 of 60 sentences: the last of an epoch has 4. An evaluation as soon as its time has come."""
    _, state = Task().run(replace(FAST, max_steps=200, eval_interval=50))
    assert [entry["sentences"] for entry in state.history] == sorted({entry["sentences"] for entry in state.history})
    at = [entry["sentences"] for entry in state.history]
    assert 50 <= at[0] < 58 and all(50 <= later - earlier < 58 for earlier, later in zip(at, at[1:-1]))
    assert 200 <= at[-1] == state.sentences < 208  # and one at the end
    assert state.epochs == state.epoch == math.ceil(state.sentences / 60)
    lengths = sum(len(sentence) for sentence in Task.training)
    assert 3 * lengths < state.tokens < 4 * lengths  # three epochs and a part
    assert state.seconds > state.step_seconds > 0


def test_patience() -> None:
    """Weights that do not move are never beaten: the first evaluation, then `patience` more."""
    for patience in (1, 3):
        settings = replace(FAST, lr=0.0, patience=patience, eval_interval=8, max_steps=10_000)
        _, state = Task().run(settings)
        assert len(state.history) == 1 + patience


def test_tolerance() -> None:
    """An improvement by less than the tolerance does not count, yet the better weights are kept."""
    task = Task()
    trainer = task.trainer(replace(FAST, patience=2, tolerance=0.9, eval_interval=60, max_steps=10_000))
    tagger = trainer.run()
    history = losses(trainer.state)
    assert len(history) == 3 and history[2] < history[1] < history[0]
    assert evaluation.cross_entropy(tagger, trainer.dev).joint == pytest.approx(history[2], abs=1e-7)
    assert len(Task().run(replace(FAST, patience=2, tolerance=0.0))[1].history) == 4


def test_learning_rate() -> None:
    """Up along a line during the warm-up share, down along a half cosine."""
    settings = Settings(lr=2.0, max_steps=1000, warmup=0.1, schedule="cosine")
    assert settings.learning_rate(0) == 0
    assert settings.learning_rate(50) == pytest.approx(2 * 0.5 * 0.5 * (1 + math.cos(0.05 * math.pi)))
    assert settings.learning_rate(100) == pytest.approx(1 + math.cos(0.1 * math.pi))
    assert settings.learning_rate(500) == pytest.approx(1.0)
    assert settings.learning_rate(1000) == settings.learning_rate(2000) == pytest.approx(0.0)
    constant = replace(settings, schedule="constant")
    assert [constant.learning_rate(n) for n in (0, 50, 100, 500, 1000)] == pytest.approx([0, 1, 2, 2, 2])
    assert replace(constant, warmup=0.0).learning_rate(0) == 2.0


# --------------------------------------------------------------------------------------------------------- the gradient


@pytest.mark.parametrize("sum_over_batch", [False, True])
@pytest.mark.parametrize("batch_size", [5, 20])
def test_regularizer_is_that_of_all_sentences(batch_size: int, sum_over_batch: bool) -> None:
    """On untagged text nothing but reg |theta|^2 / N is left of the loss: theta shrinks by a known factor a step."""
    settings = Settings(
        optimizer="sgd", lr=0.1, schedule="constant", warmup=0.0, clip=0.0, reg=6.0, batch_size=batch_size,
        max_steps=60, eval_interval=60, sum_over_batch=sum_over_batch,
    )  # fmt: skip
    task = Task(training=bare(Task.training), dev=bare(Task.dev), prepare=lambda tagger, _: set_all(tagger, 0.5))
    tagger, _ = task.run(settings)
    rate = 0.1 * (batch_size if sum_over_batch else 1)
    expected = 0.5 * (1 - rate * 2 * 6.0 / 60) ** (60 // batch_size)
    for parameter in tagger.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, expected))


@pytest.mark.parametrize("kind", ["crf", "crf_backprop", "crf_neural"])
@pytest.mark.parametrize("sum_over_batch", [False, True])
def test_step_is_down_the_gradient_of_the_mean(kind: str, sum_over_batch: bool) -> None:
    """One minibatch of the whole corpus; its words occur twice at least, so that none is replaced by OOV."""
    training = artificial(10, seed=3) * 2
    settings = Settings(
        optimizer="sgd", lr=0.02, schedule="constant", warmup=0.0, clip=0.0, reg=2.0, batch_size=20,
        max_steps=20, eval_interval=20, sum_over_batch=sum_over_batch,
    )  # fmt: skip
    initial: list[dict[str, Tensor]] = []
    task = Task(kind, training=training, prepare=lambda tagger, _: initial.append(weights(tagger)))
    trainer = task.trainer(settings)
    tagger = trainer.run()
    fresh = trainer.make_tagger().eval()
    fresh.load_state_dict(initial[0])
    batch = trainer.training.batch(torch.arange(20))
    loss = -fresh.logprob(batch).mean() + 2.0 / 20 * sum(p.square().sum() for p in fresh.parameters())
    rate = 0.02 * (20 if sum_over_batch else 1)
    for (name, parameter), gradient in zip(
        tagger.named_parameters(), torch.autograd.grad(loss, list(fresh.parameters()))
    ):
        torch.testing.assert_close(parameter, initial[0][name] - rate * gradient, rtol=1e-4, atol=1e-6)
        assert gradient.any()


@pytest.mark.parametrize("steps", [1, 3])
def test_generalized_em_takes_several_steps_on_a_minibatch(steps: int) -> None:
    """Each down the gradient at the weights that the one before has left."""
    training = artificial(10, seed=3) * 2
    settings = Settings(
        optimizer="sgd", lr=0.2, schedule="constant", warmup=0.0, clip=0.0, batch_size=20, max_steps=20,
        eval_interval=20,
    )  # fmt: skip
    initial: list[dict[str, Tensor]] = []
    sizes = dict(tag_dim=2, word_dim=3, gem_steps=steps)
    task = Task("hmm_neural", training, prepare=lambda tagger, _: initial.append(weights(tagger)), sizes=sizes)
    trainer = task.trainer(settings)
    tagger = trainer.run()
    by_hand = trainer.make_tagger()
    by_hand.load_state_dict(initial[0])
    taken = 0
    for _ in by_hand.gradients(trainer.training.batch(torch.arange(20)), 0.0, 20):
        taken += 1
        with torch.no_grad():
            for parameter in by_hand.parameters():
                parameter -= 0.2 * parameter.grad
                parameter.grad = None
    assert taken == steps
    for (name, found), expected in zip(tagger.named_parameters(), by_hand.parameters()):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        assert not torch.equal(found, initial[0][name])


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_clipping(clip: float) -> None:
    settings = Settings(
        optimizer="sgd",
        lr=1.0,
        schedule="constant",
        warmup=0.0,
        clip=clip,
        batch_size=60,
        max_steps=60,
        eval_interval=60,
    )
    tagger, _ = Task().run(settings)  # from zero weights
    length = math.sqrt(sum(parameter.square().sum().item() for parameter in tagger.parameters()))
    assert length == pytest.approx(clip, rel=1e-3) if clip else length > 0.1


# ------------------------------------------------------------------------------------------------------------- restarts


def start_at(values: Sequence[float]) -> Callable[[Tagger, int], None]:
    """Give the model of each attempt an own share of the right weights; with a learning rate of 0 they stay."""

    def prepare(tagger: Tagger, attempt: int) -> None:
        right = {"the": 0, "dog": 1, "sleeps": 2}
        with torch.no_grad():
            for word, tag in right.items():
                row = tagger.lexicon.blocks[0].rows([word], [True])[0]
                tagger.emission[row, tag] = values[attempt]

    return prepare


EASY = [parse_sentence(line, "test") for line in ["the/D dog/N sleeps/V", "dog/N sleeps/V", "the/D dog/N"] * 5]
STILL = replace(FAST, lr=0.0, max_steps=30, eval_interval=15, patience=1)


@pytest.mark.parametrize("scales, winner", [([0.5, 2.0, 1.0], 1), ([2.0, 0.5, 1.0], 0), ([0.5, 1.0, 2.0], 2)])
def test_restarts_choose_the_lowest_training_loss(scales: list[float], winner: int) -> None:
    """Not the lowest loss on the development corpus: whose tags are wrong here."""
    wrong = [Sentence(s.words, tuple("NVD"["DNV".index(tag)] for tag in s.tags)) for s in EASY]
    task = Task(training=EASY, dev=wrong, prepare=start_at(scales))
    trainer = task.trainer(replace(STILL, restarts=2))
    tagger = trainer.run()
    assert task.made == 3 and trainer.state.attempt == 2
    assert tagger.emission.max() == scales[winner]
    loss = evaluation.cross_entropy(tagger, trainer.training).conditional
    assert trainer.state.winner_loss == pytest.approx(loss, abs=1e-6)
    assert [entry["attempt"] for entry in trainer.state.history] == [0, 0, 1, 1, 2, 2]
    assert not tagger.training


def test_no_restart_where_one_is_good_enough() -> None:
    task = Task(training=EASY, dev=EASY, prepare=start_at([0.5, 20.0, 1.0, 1.0]))
    _, state = task.run(replace(STILL, restarts=3))
    assert task.made == 2 and state.attempt == 1
    assert state.winner_loss < GOOD_ENOUGH


def test_restarts_of_a_model_of_raw_text() -> None:
    """It is log p(words) that they compare, not log p(no tags | words), which is 0 from the beginning."""
    task = Task("hmm_neural", training=bare(Task.training), dev=bare(Task.dev))
    trainer = task.trainer(replace(FAST, max_steps=60, restarts=1))
    tagger = trainer.run()
    assert task.made == 2
    assert trainer.state.winner_loss == pytest.approx(
        evaluation.cross_entropy(tagger, trainer.training).joint, abs=1e-6
    )


def test_no_restarts_by_default() -> None:
    task = Task(training=EASY, dev=EASY, prepare=start_at([0.5]))
    _, state = task.run(STILL)
    assert task.made == 1 and state.attempt == 0


def test_each_attempt_has_its_own_seed() -> None:
    first: list[Tensor] = []
    task = Task("crf_neural", prepare=lambda tagger, _: first.append(tagger.M.detach().clone()))
    task.run(replace(STILL, restarts=2))
    assert len(first) == 3
    assert not any(torch.equal(one, other) for i, one in enumerate(first) for other in first[:i])


def test_training_loss_is_that_of_the_model_in_use() -> None:
    """Not with training words replaced by OOV at random, which is what train() mode is for."""
    trainer = Task().trainer(replace(FAST, restarts=1))
    tagger = trainer.run()
    loss = evaluation.cross_entropy(tagger.eval(), trainer.training).conditional
    assert trainer.state.winner_loss == pytest.approx(loss, abs=1e-6)


# ---------------------------------------------------------------------------------------------------------- determinism

SEMI_SUPERVISED = [*artificial(60, seed=1)[:20], *bare(artificial(60, seed=1)[20:])]
EM = Task("hmm", training=SEMI_SUPERVISED)
EM_SETTINGS = replace(FAST, max_steps=5 * 60)


@pytest.mark.parametrize(
    "task", [*map(Task, ("crf", "crf_backprop", "crf_neural", "hmm_neural", "crf_extended")), EM], ids=lambda t: t.kind
)
def test_seed(task: Task) -> None:
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(17 + len(results))  # what the generator was before must not matter
        tagger, state = task.run(replace(FAST, seed=seed))
        results.append((weights(tagger), without_seconds(state.history)))
    (first, history), (again, history_again), (other, _) = results
    assert same(first, again) and history == history_again
    assert not same(first, other)


THREE_ATTEMPTS = replace(FAST, max_steps=60, eval_interval=20, restarts=2)  # of one epoch, 8 steps, each
INTERRUPTED = {
    # which task, how, and when: the how many-th question whether to stop
    "first step": (Task("crf_backprop"), FAST, 1),
    "in the middle of an epoch": (Task("crf_backprop"), FAST, 4),
    "at the end of an epoch, after an evaluation": (Task("crf_backprop"), FAST, 8),
    "in a later epoch": (Task("crf_backprop"), FAST, 19),
    "after the last step": (Task("crf_backprop"), FAST, 32),
    "by hand": (Task("crf"), FAST, 11),
    "sgd": (Task("crf_backprop"), replace(FAST, optimizer="sgd", sum_over_batch=True), 11),
    "neural": (Task("crf_neural"), FAST, 21),
    "dropout": (Task("crf_extended", sizes=dict(SMALL, rnn="lstm", dropout=0.3)), FAST, 21),
    "neural HMM": (Task("hmm_neural"), FAST, 21),
    "generalized EM": (Task("hmm_neural", training=SEMI_SUPERVISED, sizes=dict(gem_steps=2)), FAST, 21),
    "viterbi_error": (Task("crf_backprop"), replace(FAST, loss="viterbi_error"), 25),
    "first attempt": (Task("crf_neural"), THREE_ATTEMPTS, 3),
    "end of the first attempt": (Task("crf_neural"), THREE_ATTEMPTS, 8),
    "second attempt": (Task("crf_neural"), THREE_ATTEMPTS, 8 + 5),
    "third attempt": (Task("crf_neural"), THREE_ATTEMPTS, 16 + 1),
    "HMM": (EM, EM_SETTINGS, 1),
    "HMM, in an iteration": (EM, EM_SETTINGS, 2),
    "HMM, later": (EM, EM_SETTINGS, 7),
}  # fmt: skip


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 sentences in evaluation and in EM, so that an iteration over 60 has three."""
    monkeypatch.setattr(evaluation, "BATCH", 20)


@pytest.mark.parametrize("when", INTERRUPTED)
def test_interrupted_run_ends_the_same(when: str, tmp_path: Path) -> None:
    task, settings, stop_at = INTERRUPTED[when]
    tagger, state = task.run(settings)
    trainer = task.trainer(settings, stop_at=stop_at)
    with pytest.raises(Interrupted):
        trainer.run()
    assert task.asked == stop_at
    trainer.state.save(tmp_path / "checkpoint", plan={"kind": task.kind})
    torch.manual_seed(99)  # as in another process
    loaded, more = State.load(tmp_path / "checkpoint")
    assert more == {"plan": {"kind": task.kind}}
    resumed = task.trainer(settings, loaded)
    final = resumed.run()
    assert same(weights(final), weights(tagger))
    assert without_seconds(resumed.state.history) == without_seconds(state.history)
    assert (resumed.state.sentences, resumed.state.tokens, resumed.state.epochs, resumed.state.attempt) == (
        state.sentences, state.tokens, state.epochs, state.attempt
    )  # fmt: skip
    assert resumed.state.best_loss == state.best_loss and resumed.state.winner_loss == state.winner_loss


def test_interrupted_again_and_again(tmp_path: Path) -> None:
    task, settings = Task("crf_neural"), replace(THREE_ATTEMPTS, restarts=1)
    tagger, state = task.run(settings)
    loaded = None
    interruptions = 0
    while True:
        trainer = task.trainer(settings, loaded, stop_at=3)
        try:
            final = trainer.run()
            break
        except Interrupted:
            trainer.state.save(tmp_path / "checkpoint")
            loaded, _ = State.load(tmp_path / "checkpoint")
            interruptions += 1
    assert interruptions == 5  # of 16 steps
    assert same(weights(final), weights(tagger))
    assert without_seconds(trainer.state.history) == without_seconds(state.history)


# ---------------------------------------------------------------------------------------------------------- checkpoints


def checkpoint(task: Task, folder: Path, settings: Settings = FAST) -> Path:
    trainer = task.trainer(settings, stop_at=1)
    with pytest.raises(Interrupted):
        trainer.run()
    trainer.state.save(folder / "checkpoint")
    return folder / "checkpoint"


@pytest.mark.parametrize(
    "other",
    [Task("crf_neural"), Task("crf_backprop", training=artificial(30, seed=8)), EM],
    ids=["another kind", "other words", "an HMM"],
)
def test_checkpoint_of_another_model(other: Task, tmp_path: Path) -> None:
    state, _ = State.load(checkpoint(Task("crf_backprop"), tmp_path))
    with pytest.raises(InputError, match="does not fit"):
        other.trainer(FAST, state).run()


def test_a_checkpoint_is_no_model_and_a_model_no_checkpoint(tmp_path: Path) -> None:
    path = checkpoint(Task(), tmp_path)
    with pytest.raises(InputError, match="checkpoint"):
        Tagger.load(path)
    tagger, _ = Task().run(replace(FAST, max_steps=8))
    tagger.save(tmp_path / "model")
    with pytest.raises(InputError, match="model: not a checkpoint"):
        State.load(tmp_path / "model")
    with pytest.raises(InputError, match="nothing"):
        State.load(tmp_path / "nothing")


def test_state_round_trip(tmp_path: Path) -> None:
    """Every value comes back as it was, infinite losses too."""
    state = State(sentences=7, order_sizes=[3, 2], history=[{"loss": 0.1 + 0.2, "epoch": 1}], winner_loss=1 / 3)
    state.put("weights", {"a": torch.tensor([0.1, math.nan]), "b": torch.tensor(3)})
    state.put("best", {"a": torch.zeros(0, 4)})
    state.save(tmp_path / "checkpoint", words=["é"])
    loaded, more = State.load(tmp_path / "checkpoint")
    assert more == {"words": ["é"]}
    assert replace(loaded, tensors={}) == replace(state, tensors={})
    assert loaded.best_loss == math.inf and loaded.history[0]["loss"] == 0.1 + 0.2
    assert loaded.tensors.keys() == state.tensors.keys()
    assert loaded.part("weights")["b"].item() == 3 and loaded.part("best")["a"].shape == (0, 4)


def test_state_keeps_copies() -> None:
    state, tensor = State(), torch.zeros(2)
    state.put("best", {"a": tensor, "b": tensor})
    tensor += 1
    assert not state.part("best")["a"].any()
    state.put("best", {"c": tensor})  # in place of what was there
    assert list(state.part("best")) == ["c"]


# ------------------------------------------------------------------------------------------------------------------ HMM


def test_supervised_hmm_takes_one_iteration() -> None:
    """Smoothed relative frequencies: there is nothing to iterate."""
    task = Task("hmm", training=EASY, dev=EASY)
    tagger, state = task.run(replace(FAST, smoothing=0.5))
    assert len(state.history) == 1 and state.sentences == len(EASY)
    torch.testing.assert_close(tagger.start.exp(), torch.tensor([10.5, 5.5, 0.5]) / 16.5)
    torch.testing.assert_close(tagger.trans[1].exp(), torch.tensor([0.5, 0.5, 10.5]) / 17)
    torch.testing.assert_close(tagger.stop.exp(), torch.tensor([0.5 / 12, 5.5 / 17, 10.5 / 12]))


@pytest.mark.parametrize("seed", range(2))
def test_a_word_that_occurs_once_counts_half_as_oov(seed: int) -> None:
    """By no draw: with every seed."""
    training = [parse_sentence(line, "test") for line in ["the/D dog/N runs/V", "the/D cat/N sleeps/V", "dog/N"]]
    tagger, _ = Task("hmm", training=training, dev=EASY).run(replace(FAST, smoothing=0.25, seed=seed))
    words = tagger.vocabulary
    counted = {  # half of a cat is OOV; of V both words occur once
        "D": {"the": 2.0}, "N": {"dog": 2.0, "cat": 0.5, "OOV": 0.5}, "V": {"runs": 0.5, "sleeps": 0.5, "OOV": 1.0},
    }  # fmt: skip
    rows = [0, *range(3, len(words))]  # without BOS and EOS
    for tag, counts in counted.items():
        expected = torch.tensor([counts.get(words[row], 0.0) + 0.25 for row in rows])
        torch.testing.assert_close(tagger.emission[rows, TAGS.index(tag)].exp(), expected / expected.sum())


def test_em_climbs_on_the_text_as_it_is_and_on_the_one_with_oov() -> None:
    """Half of each log-likelihood, and lambda times the sum of all log-probabilities: never lower than before."""
    trainer = EM.trainer()
    tagger = trainer.make_tagger().train()
    batch, objective = trainer.training.batch(torch.arange(len(trainer.training))), []
    for _ in range(8):
        logs = torch.cat([part.flatten() for part in tagger.log_probabilities()])
        total = 0.1 * logs[logs > -math.inf].sum().item()
        for share in (0.0, 1.0):
            tagger.lexicon.novel_share = share
            total += 0.5 * tagger(batch).score(batch.tags, partial=True).sum().item()
        objective.append(total)
        tagger.m_step(trainer.expected_counts(tagger, batch), smoothing=0.1)
    assert all(later >= earlier - 1e-3 for earlier, later in zip(objective, objective[1:]))
    assert objective[-1] > objective[1] + 1


def test_em_learns_from_untagged_text() -> None:
    """Its likelihood of the untagged words rises."""
    tagger, state = Task("hmm", training=bare(Task.training), dev=bare(Task.dev)).run(EM_SETTINGS)
    assert len(state.history) == 5 and losses(state)[-1] < losses(state)[0]
    assert state.best_loss == min(losses(state))
    trainer = EM.trainer(replace(EM_SETTINGS, patience=1, tolerance=0.5, max_steps=10_000))
    trainer.run()
    assert len(trainer.state.history) == 2  # the second improvement is not by half


@pytest.mark.parametrize("seed", range(4))
def test_em_without_smoothing_meets_no_impossible_sentence(seed: int) -> None:
    """With lambda = 0 a word that is replaced by OOV now, and was not before, must not end training."""
    _, state = EM.run(replace(EM_SETTINGS, smoothing=0.0, seed=seed, max_steps=12 * 60))
    assert len(state.history) > 1
