"""HMMs as language models: the perplexity of held-out text, beside n-gram models.

    python writeup/experiments/language_model.py [--quick] [--only SYSTEM ...] [--minutes M] [--out FOLDER]

The text is the words of ensup and enraw, without tags. The last tenth of enraw is held out for the table, the tenth
before it for early stopping and whatever is tuned; the rest is trained on. Words that occur there at least twice are
the vocabulary of all models alike, all others are the one word OOV. Perplexity is per token, ends of sentences counted.

A system's result goes to results/language_model/SYSTEM.json under --out (default: writeup/), and is not made again
where it was made in the same way: delete it to have it measured anew. Training that is interrupted, by Ctrl-C or
because the --minutes are over, leaves a checkpoint there, and the same command goes on. From all results that are there
come results/language_model.json and results/language_model.md. --quick trains tiny models on a little text, in a
temporary folder.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import math
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import script
import torch
from ngrams import KneserNey

import eval as evaluation
from corpus import IntegerizedCorpus, Sentence, read_corpus
from integerize import Integerizer
from learn import stop_on_signals
from lexicon import Lexicon
from tagger import Tagger, tagger_class
from training import Interrupted, Settings, State, Trainer
from word_vectors import read_lexicon

OOV = "OOV"  # how a rare word is written; no frequent word is
SYSTEMS: dict[str, dict[str, Any]] = {
    "unigram": dict(order=1),
    "bigram": dict(order=2),
    "trigram": dict(order=3),
    "hmm": dict(kind="hmm", states=100, settings=dict(smoothing=0.01, patience=2, max_steps=400_000)),
    "hmm_neural": dict(kind="hmm_neural", states=500),
    "hmm_neural vectors": dict(kind="hmm_neural", states=500, lexicons=["words-50.txt", "syntax-50.txt"]),
}
NEURAL: dict[str, Any] = dict(
    sizes=dict(tag_dim=128, word_dim=128),
    settings=dict(lr=0.02, batch_size=64, max_steps=90_000, eval_interval=7_000, patience=4, reg=3.0),
)
BASELINE = "bigram"
LARGE = dict(states=2_000, batch_size=64)  # of what an epoch's time and memory are measured
QUICK = dict(states=8, settings=dict(max_steps=600, eval_interval=200, batch_size=16))
QUICK_RAW = 60  # sentences of enraw


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny models and little text, in a temporary folder")
    parser.add_argument("--only", nargs="+", choices=[*SYSTEMS, "large"], metavar="SYSTEM", help=", ".join(SYSTEMS))
    parser.add_argument("--minutes", type=float, default=math.inf, metavar="M", help="stop then, to go on later")
    parser.add_argument("--out", type=Path, help="folder for results/ (default: writeup/)")
    args = parser.parse_args(arguments)
    deadline = time.monotonic() + 60 * args.minutes
    out = args.out or (Path(tempfile.mkdtemp(prefix="language-model-")) if args.quick else common.WRITEUP)
    folder = out / "results" / "language_model"
    interrupted = False
    with tempfile.TemporaryDirectory() as work:
        if args.quick:
            common.small_data(Path(work))
        texts = read_texts(Path(work), args.quick)
        for name in args.only or [*SYSTEMS, "large"]:
            try:
                if existing(folder, name, args.quick) is None:
                    make_result(folder, name, texts, args.quick, Path(work), deadline)
            except Interrupted:
                print(f"{name}: interrupted; the same command goes on", file=sys.stderr)
                interrupted = True
                break
    summary = summarize(folder, texts, args.quick)
    done = script.finish("language_model", out, summary, markdown(summary))
    return 130 if interrupted else done


# The text


@dataclass(frozen=True)
class Texts:
    """Untagged sentences, rare words written as OOV; and how often each word is in `train`, OOV under ""."""

    train: list[Sentence]
    tune: list[Sentence]
    held_out: list[Sentence]
    counts: dict[str, int]

    def describe(self) -> dict[str, int]:
        """Sentences, tokens and tokens of OOV of each part."""
        numbers: dict[str, int] = dict(words=len(self.counts) - 1)
        for name in ("train", "tune", "held_out"):
            words = [word for sentence in getattr(self, name) for word in sentence.words]
            numbers.update({f"{name}_sentences": len(getattr(self, name)), f"{name}_tokens": len(words)})
            numbers[f"{name}_oov"] = words.count(OOV)
        return numbers


def read_texts(work: Path, quick: bool) -> Texts:
    raw = read_corpus(common.DATA / "enraw")[: QUICK_RAW if quick else None]
    tenth = len(raw) // 10
    train = [*read_corpus(common.find("ensup", work, common.DATA)), *raw[: -2 * tenth]]
    every = Counter(word for sentence in train for word in sentence.words)
    counts = {word: count for word, count in every.items() if count > 1}

    def shrink(sentences: Sequence[Sentence]) -> list[Sentence]:
        return [
            Sentence(tuple(word if word in counts else OOV for word in s.words), (None,) * len(s)) for s in sentences
        ]

    parts = map(shrink, (train, raw[-2 * tenth : -tenth], raw[-tenth:]))
    return Texts(*parts, counts={"": sum(count == 1 for count in every.values()), **counts})


# Making a result


def path_of(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-')}.json"


def recipe(name: str, quick: bool) -> dict[str, Any]:
    """All that a result depends on, beside the code and the text."""
    if name == "large":
        return dict(LARGE, states=QUICK["states"] if quick else LARGE["states"], quick=quick)
    system = dict(SYSTEMS[name])
    if system.get("kind") == "hmm_neural":
        system.update(NEURAL)
    if quick and "states" in system:
        system.update(states=QUICK["states"], settings={**system["settings"], **QUICK["settings"]})
    return dict(system, quick=quick)


def existing(folder: Path, name: str, quick: bool) -> dict[str, Any] | None:
    """The result of a system, if it was made by today's recipe."""
    result = common.read_json(path_of(folder, name))
    return result if result and result.get("recipe") == recipe(name, quick) else None


def make_result(folder: Path, name: str, texts: Texts, quick: bool, work: Path, deadline: float) -> None:
    """Train and measure one system. Raises Interrupted, leaving a checkpoint."""
    how, load = recipe(name, quick), common.load()
    if name == "large":
        found = in_its_own_process(texts, how["states"], how["batch_size"])
    elif "order" in how:
        found = count_ngrams(texts, how["order"])
    else:
        found = train_hmm(texts, how, path_of(folder, name).with_suffix(".checkpoint"), work, deadline)
    machine = common.machine(torch.get_num_threads())
    common.write_json(
        path_of(folder, name), dict(recipe=how, machine=machine, load_before=load, load_after=common.load(), **found)
    )


def count_ngrams(texts: Texts, order: int) -> dict[str, Any]:
    began = time.perf_counter()
    words = {name: [s.words for s in getattr(texts, name)] for name in ("train", "tune", "held_out")}
    model = KneserNey(words["train"], order, len(texts.counts) + 1)
    discount = model.tune(words["tune"])
    seconds = time.perf_counter() - began
    logprobs = {name: [model.logprob(sentence, discount) for sentence in words[name]] for name in ("tune", "held_out")}
    return dict(discount=discount, parameters=model.parameter_count(), seconds=seconds, logprobs=logprobs)


def train_hmm(texts: Texts, how: dict[str, Any], checkpoint: Path, work: Path, deadline: float) -> dict[str, Any]:
    """An HMM of anonymous states, until the perplexity of `tune` no longer falls."""
    vectors = [read_lexicon(common.find(name, work, common.LEXICONS)) for name in how.get("lexicons", [])]
    lexicon = Lexicon(texts.counts, vectors=vectors, one_hot=True)
    states = Integerizer(f"s{number}" for number in range(how["states"]))
    train, tune, held_out = (
        IntegerizedCorpus(t, lexicon.vocab, states) for t in (texts.train, texts.tune, texts.held_out)
    )
    state = None
    if checkpoint.exists():
        begun, more = State.load(checkpoint)
        state = begun if more["recipe"] == how else None
    with stop_on_signals() as asked:
        trainer = Trainer(
            lambda: tagger_class(how["kind"])(states, lexicon, **how.get("sizes", {})), train, tune,
            Settings(**how["settings"]), state, lambda: asked() or time.monotonic() > deadline, quiet=how["quick"],
        )  # fmt: skip
        try:
            tagger = trainer.run()
        except Interrupted:
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            trainer.state.save(checkpoint, recipe=how)
            raise
    checkpoint.unlink(missing_ok=True)
    logprobs = {name: logprobs_of(tagger, corpus) for name, corpus in (("tune", tune), ("held_out", held_out))}
    return dict(
        parameters=tagger.parameter_count(), seconds=trainer.state.seconds, epochs=trainer.state.epochs,
        history=trainer.state.history, logprobs=logprobs,
    )  # fmt: skip


@torch.no_grad()
def logprobs_of(tagger: Tagger, corpus: IntegerizedCorpus) -> list[float]:
    """log p(words) of each sentence, in nats."""
    found = torch.empty(len(corpus), dtype=torch.float64)
    for sentences in corpus.by_length(evaluation.BATCH):
        found[sentences] = tagger.logprob(corpus.batch(sentences)).double()
    return found.tolist()


def in_its_own_process(texts: Texts, states: int, batch_size: int) -> dict[str, Any]:
    """`measure_epoch` where nothing else has taken memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure_epoch, texts, states, batch_size, torch.get_num_threads()).result()


def measure_epoch(texts: Texts, states: int, batch_size: int, threads: int) -> dict[str, Any]:
    """Time and peak memory of the gradient of each minibatch of an epoch."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    lexicon, tagset = Lexicon(texts.counts), Integerizer(f"s{number}" for number in range(states))
    corpus = IntegerizedCorpus(texts.train, lexicon.vocab, tagset)
    tagger = tagger_class("hmm_neural")(tagset, lexicon, **NEURAL["sizes"])
    began = time.perf_counter()
    for sentences in corpus.shuffled(batch_size):
        tagger.add_gradient(corpus.batch(sentences), 0.0, len(corpus))
    seconds = time.perf_counter() - began
    return dict(
        seconds=seconds, tokens_per_second=corpus.tokens / seconds, peak_memory=common.peak_memory(),
        parameters=tagger.parameter_count(),
    )  # fmt: skip


# The table


def summarize(folder: Path, texts: Texts, quick: bool) -> dict[str, Any]:
    """What the table shows."""
    results = {name: result for name in SYSTEMS if (result := existing(folder, name, quick))}
    large = existing(folder, "large", quick)
    every = [*results.values(), *([large] if large else [])]
    events = {name: np.array([len(s) + 1 for s in getattr(texts, name)]) for name in ("tune", "held_out")}
    systems = {}
    for name, result in results.items():
        logprobs = {part: np.array(values) for part, values in result["logprobs"].items()}
        systems[name] = dict(
            recipe=result["recipe"], parameters=result["parameters"], seconds=result["seconds"],
            discount=result.get("discount"), epochs=result.get("epochs"),
            perplexity={part: math.exp(-values.sum() / events[part].sum()) for part, values in logprobs.items()},
            gain=None,
        )  # fmt: skip
        if BASELINE in results and name != BASELINE:
            before = np.array(results[BASELINE]["logprobs"]["held_out"])
            difference = evaluation.paired_bootstrap(logprobs["held_out"], before, events["held_out"])
            systems[name]["gain"] = asdict(difference)
    loads = [result["load_before"] for result in every if result["load_before"] is not None]
    return dict(
        quick=quick, machines=sorted({common.describe_machine(result["machine"]) for result in every}),
        load_before=[min(loads), max(loads)] if loads else None, text=texts.describe(), systems=systems,
        missing=[name for name in SYSTEMS if name not in results],
        large={name: large[name] for name in ("recipe", "seconds", "tokens_per_second", "peak_memory", "parameters")}
        if large else None,
    )  # fmt: skip


def markdown(summary: dict[str, Any]) -> str:
    """language_model.md of what is in language_model.json."""
    parts = ["# HMMs as language models\n\nMade by `python writeup/experiments/language_model.py`.\n"]
    if summary["quick"]:
        parts.append("\nA quick run: the figures mean nothing.\n")
    header = (
        "system", "perplexity", "on the tuning text", f"nats a token better than the {BASELINE}", "95 % interval",
        "parameters", "epochs", "training, s",
    )  # fmt: skip
    systems = summary["systems"]
    parts.append("\n" + common.table(header, (row(name, of) for name, of in systems.items())))
    parts.append("\n" + about_text(summary["text"]))
    parts.append("\n## Systems\n\n")
    parts.append(common.table(("system", "what it is"), ([name, describe(of)] for name, of in systems.items()), left=2))
    if summary["missing"]:
        parts.append(f"\nNot run: {', '.join(summary['missing'])}.\n")
    if summary["large"]:
        parts.append("\n## Many states\n\n" + about_large(summary["large"]))
    load = "{} to {}".format(*summary["load_before"]) if summary["load_before"] else "unknown"
    parts.append(f"\nMeasured on {'; '.join(summary['machines'])}. Load average before: {load}.\n")
    return "".join(parts)


def about_text(text: dict[str, int]) -> str:
    return (
        f"Of the words of the last tenth of enraw: {text['held_out_tokens']:,} tokens in "
        f"{text['held_out_sentences']:,} sentences, whose ends count as tokens; "
        f"{text['held_out_oov'] / text['held_out_tokens']:.1%} of the tokens are OOV. Trained on ensup and the first "
        f"eight tenths of enraw, without tags: {text['train_tokens']:,} tokens; the {text['words']:,} words that occur "
        "there at least twice, and OOV, are the vocabulary. Tuned, or stopped early, on the tenth of enraw between. "
        "Intervals: paired bootstrap over sentences, 10,000 draws (`eval.paired_bootstrap`).\n"
    )


def about_large(large: dict[str, Any]) -> str:
    return (
        f"hmm_neural with {large['recipe']['states']:,} states and {large['parameters']:,} parameters: the gradient of "
        f"one epoch, in minibatches of {large['recipe']['batch_size']} sentences, takes {large['seconds']:,.0f} s "
        f"({large['tokens_per_second']:,.0f} tokens/s), and {large['peak_memory'] / 1e9:.2f} GB at most, all of the "
        "process counted.\n"
    )


def row(name: str, of: dict[str, Any]) -> list[str]:
    gain, epochs = of["gain"], of["epochs"]
    interval = (f"{gain['value']:+.3f}", f"{gain['low']:+.3f} to {gain['high']:+.3f}") if gain else ("-", "-")
    perplexity = (f"{of['perplexity'][part]:.1f}" for part in ("held_out", "tune"))
    return [name, *perplexity, *interval, f"{of['parameters']:,}", str(epochs or "-"), f"{of['seconds']:,.0f}"]


def describe(of: dict[str, Any]) -> str:
    """What a system is, in a line."""
    how = of["recipe"]
    if "order" in how:
        return f"{how['order']}-grams, interpolated Kneser-Ney, discount {of['discount']}; its parameters are n-grams"
    settings = ", ".join(f"{name} {value:,}" for name, value in how["settings"].items())
    if how["kind"] == "hmm":
        return f"HMM, {how['states']} states, by EM: {settings}"
    words = " + ".join(["one-hot", *(Path(name).stem for name in how.get("lexicons", []))])
    sizes = ", ".join(f"{name} {value}" for name, value in how["sizes"].items())
    return f"neural HMM (eqs. 54-56), {how['states']} states, words {words}: {sizes}; {settings}"


if __name__ == "__main__":
    sys.exit(main())
