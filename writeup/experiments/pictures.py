"""The whole course in pictures, on one page: writeup/figures/index.html.

    python writeup/experiments/pictures.py [--quick] [--out FOLDER]

Measured figures come from writeup/results/main_line.json, main_line/ and artificial.json, which main_line.py and
artificial.py make; everything else is computed here in seconds, from an HMM that is trained by counting. No number is
typed by hand. Run it again when the results have changed. --out: the folder for index.html (default: writeup/figures).
--quick trains on the first sentences and writes to a temporary folder. It needs matplotlib.
"""

from __future__ import annotations

import common  # before torch

# isort: split

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pictures_page as pages
import pictures_plots as drawings
import pictures_svg as diagrams
import plots
import torch

from chain import LinearChain, backward, forward
from corpus import IntegerizedCorpus, Sentence, read_corpus
from hmm import HiddenMarkovModel
from integerize import Integerizer
from lexicon import Lexicon

WHAT = {  # what each row of the ladder adds
    "hmm": "counts",
    "crf": "the same, trained for the question",
    "crf_backprop": "the gradient by back-propagation",
    "crf_backprop words-50": "vectors in place of words",
    "crf_neural d=0": "a layer between words and potentials, and a regularizer",
    "crf_neural d=0 words-50": "both",
    "crf_neural words-50": "and the whole sentence: the biRNN-CRF",
}
SHOWN_TAGS = 9
CATEGORIES = ("all", "known", "seen", "novel")


class Model(NamedTuple):
    """An HMM that was trained by counting, in float64."""

    hmm: HiddenMarkovModel
    sentences: int

    def chain(self, sentence: Sentence) -> tuple[LinearChain, list[int]]:
        """Of one sentence, and its gold tags by number."""
        corpus = IntegerizedCorpus([sentence], self.hmm.lexicon.vocab, self.hmm.tagset)
        batch = corpus.batch(torch.tensor([0]))
        return self.hmm(batch).detach(), batch.tags[0].tolist()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="train on the first sentences, write to a temporary folder"
    )
    parser.add_argument("--out", type=Path, help="folder for index.html (default: writeup/figures)")
    args = parser.parse_args(arguments)
    out = args.out or (Path(tempfile.mkdtemp(prefix="pictures-")) if args.quick else common.WRITEUP / "figures")
    if plots.matplotlib is None:
        print(f"pictures.py: error: {plots.NO_PLOTS}", file=sys.stderr)
        return 2
    try:
        main_line, artificial, curves = (read(name) for name in ("main_line", "artificial", "main_line/*-0"))
    except LookupError as error:
        print(f"pictures.py: error: {error.args[0]}", file=sys.stderr)
        return 2
    drawings.prepare()
    common.write_text(out / "index.html", whole_page(main_line, artificial, curves, args.quick))
    print(f"in {out / 'index.html'}")
    return 0


def read(name: str) -> dict[str, Any]:
    """A result; of a pattern, all of them by their command. Raises LookupError where there is none."""
    paths = sorted((common.WRITEUP / "results").glob(f"{name}.json"))
    found = {path: common.read_json(path) for path in paths}
    if not found or None in found.values():
        script = name.split("/")[0]
        raise LookupError(f"writeup/results/{name}.json is not there: run writeup/experiments/{script}.py")
    return {" ".join(result["command"]): result for result in found.values()} if "*" in name else found[paths[0]]


# What is computed here


def train(name: str, sentences: int | None) -> Model:
    """An HMM of the first sentences of a corpus; of all of them, if None."""
    training = read_corpus(common.DATA / name)[:sentences]
    tagset = Integerizer(sorted({tag for sentence in training for tag in sentence.tags}))
    lexicon = Lexicon.from_corpus(training)
    hmm = HiddenMarkovModel(tagset, lexicon).eval()
    counts, _ = hmm.e_step(IntegerizedCorpus(training, lexicon.vocab, tagset).batch(torch.arange(len(training))))
    hmm.m_step(counts, smoothing=0.01)
    return Model(hmm.double(), len(training))


def most_uncertain(model: Model, sentences: Sequence[Sentence], shortest: int, longest: int) -> Sentence:
    """Of such a length, of known words, all but the last of letters: the one with the highest entropy a word."""
    tags, category = set(model.hmm.tagset), model.hmm.lexicon.category
    fit_for_it = [
        sentence
        for sentence in sentences
        if shortest <= len(sentence) <= longest
        and set(sentence.tags) <= tags
        and all(category(word) == "known" for word in sentence.words)
        and all(word.isalpha() for word in sentence.words[:-1])
    ]
    return max(fit_for_it, key=lambda sentence: model.chain(sentence)[0].entropy.item() / len(sentence))


def english_trellis(model: Model, sentence: Sentence) -> str:
    """The tags of the best path and of the gold one, and the most probable others."""
    chain, gold = model.chain(sentence)
    p, pairs, best = chain.marginals[0], chain.pair_marginals[0], chain.argmax[0].tolist()
    wanted = dict.fromkeys([*best, *gold, *p.amax(dim=0).argsort(descending=True).tolist()])
    shown = sorted(list(wanted)[: max(SHOWN_TAGS, len({*best, *gold}))])
    names = list(model.hmm.tagset)
    return diagrams.trellis(
        sentence.words, [names[tag] for tag in shown], p[:, shown].tolist(), pairs[:, shown][:, :, shown].tolist(),
        [shown.index(tag) for tag in best], [names[tag] for tag in gold],
    )  # fmt: skip


def diary_passes(model: Model, diary: Sentence) -> tuple[str, float]:
    """Both passes over a diary, and Z."""
    chain, _ = model.chain(diary)
    days = [f"{word} ice cream{'s' * (word != '1')}" for word in diary.words]
    alpha, beta = forward(chain)[0].exp().tolist(), backward(chain)[0].exp().tolist()
    tags = list(model.hmm.tagset)
    return diagrams.forward_backward(
        days, tags, alpha, beta, chain.marginals[0].tolist()
    ), chain.log_partition.exp().item()


# The page


def per_cent(value: Mapping[str, float | None]) -> str:
    return "-" if value["mean"] is None else f"{100 * value['mean']:.2f}"


def rules(artificial: Mapping[str, Any]) -> str:
    rows = []
    for name, system in artificial["systems"].items():
        if not name.startswith("lamp"):
            corpus, model = name.split()
            accuracies = [run["accuracy"] for run in system["runs"]]
            found = sum(run["found"] for run in system["runs"])
            rows.append(
                [corpus, model, f"{100 * sum(accuracies) / len(accuracies):.1f}", f"{found} of {len(accuracies)}"]
            )
    return pages.table(("corpus", "model", "accuracy, %", "seeds that found the rule"), rows)


def whole_page(
    main_line: Mapping[str, Any], artificial: Mapping[str, Any], curves: Mapping[str, Any], quick: bool
) -> str:
    systems = main_line["systems"]
    english, ice = train("ensup", 400 if quick else None), train("icsup", None)
    dev = read_corpus(common.DATA / "endev")
    trained = f"an HMM that counted {english.sentences:,} sentences of <code>ensup</code>"
    sections = [
        ("One idea", one_idea()),
        ("A trellis", a_trellis(english, most_uncertain(english, dev, 5, 7), trained)),
        ("Forward and backward", both_passes(ice)),
        ("The ladder of models", the_ladder(systems)),
        ("What a potential sees", a_potential()),
        ("Learning", the_learning(systems, curves)),
        ("Where context is all", the_artificial(artificial)),
        ("Search", the_search(english, most_uncertain(english, dev, 12, 16), trained)),
    ]
    lead = (
        "Neuralization, a course on sequence labeling: from a hidden Markov model to a conditional random field whose "
        'potentials read the whole sentence, and how to search it. <a href="../../INSTRUCTIONS.md">The homework</a>, '
        '<a href="../reading.md">the mathematics</a>, <a href="../results/main_line.md">all numbers</a>.'
    )
    machines = "; ".join(main_line["machines"])
    foot = f"Made by <code>python writeup/experiments/pictures.py</code>. Systems measured on {machines}."
    return pages.page("The course in pictures", lead, sections, foot)


def one_idea() -> str:
    caption = "A model turns words into the numbers of a linear chain; a decoder turns these into tags. Any model "
    return pages.figure(diagrams.pipeline(), caption + "meets any decoder.", diagram=True)


def a_trellis(model: Model, sentence: Sentence, trained: str) -> str:
    caption = (
        f"A sentence of <code>endev</code> under {trained}: the area of a node is the posterior of its tag, the width "
        "of a line that of its bigram, and the path in colour is Viterbi's. Tags that hardly matter here are left out."
    )
    return pages.figure(english_trellis(model, sentence), caption, diagram=True)


def both_passes(model: Model) -> str:
    diary = next(sentence for sentence in read_corpus(common.DATA / "icdev") if len(sentence) == 5)
    picture, Z = diary_passes(model, diary)
    caption = (
        "The first diary of five days in <code>icdev</code>, under an HMM that counted <code>icsup</code>. At every "
        f"node α times β, over Z, is the posterior p (the bar); on each day these products add up to Z = {Z:.3g}."
    )
    return pages.figure(picture, caption, diagram=True)


def the_ladder(systems: Mapping[str, Any]) -> str:
    seeds = max(len(system["seeds"]) for system in systems.values())
    caption = (
        f"Trained on <code>ensup</code>, measured on <code>endev</code>; mean of {seeds} seeds, bars one standard "
        "deviation. In the table, cross-entropy is -log p(tags | words) in nats a token."
    )
    rows = [
        [name, WHAT.get(name, ""), *(per_cent(system["accuracy"][category]) for category in CATEGORIES),
         f"{system['conditional_cross_entropy']['mean']:.4f}", f"{system['train_seconds']['mean']:.1f}"]
        for name, system in systems.items()
    ]  # fmt: skip
    header = ("system", "what is new", *(f"{name} %" for name in CATEGORIES), "cross-entropy", "training, s")
    return pages.figure(drawings.ladder(systems), caption) + pages.table(header, rows)


def a_potential() -> str:
    caption = (
        "The biRNN-CRF at word 3 (eqs. 46-48). h has read everything before, h′ everything after; the tags see only "
        "their neighbours, so forward and Viterbi stay as they are."
    )
    return pages.figure(diagrams.potential(), caption, diagram=True)


def the_learning(systems: Mapping[str, Any], curves: Mapping[str, Any]) -> str:
    of_words = (
        "<em>Known</em> words are in the training corpus, <em>seen</em> ones only in the lexicon, <em>novel</em> ones "
        "in neither. Without a lexicon none is seen, and more are novel."
    )
    return pages.pair(
        pages.figure(drawings.learning(curves, systems), "Seed 0, from the first look at the development corpus on."),
        pages.figure(drawings.by_words(systems), of_words),
    )


def the_artificial(artificial: Mapping[str, Any]) -> str:
    lamp = min(read_corpus(common.DATA / "lampdev"), key=lambda sentence: (len(sentence), str(sentence)))
    sentence = (
        "A sentence of <code>lampdev</code>. Past-tense verbs throw one switch for what comes after, present-tense "
        "verbs another for what comes before; some tags are wrong on purpose."
    )
    reached = (
        "What models reach on <code>lampdev</code> (orange), and what the best tagger of a kind can expect (purple; "
        "data/README.md has the proofs)."
    )
    return (
        "<p>Two corpora with a rule that no stationary chain can follow (which rule, is a question of the homework):"
        f"</p>{rules(artificial)}"
        + pages.figure(diagrams.lamp(lamp.words, lamp.tags), sentence, diagram=True)
        + pages.figure(drawings.lamp_bars(artificial), reached)
    )


def the_search(model: Model, sentence: Sentence, trained: str) -> str:
    chain, _ = model.chain(sentence)
    search, free = drawings.descents(chain)
    above = min(drawings.descend_from_chance(chain, step).energy.item() for step in drawings.STEPS)
    gap = above - drawings.viterbi_energy(chain)
    return pages.pair(
        pages.figure(
            search,
            f"A sentence of {len(sentence)} words under {trained}. A relaxed energy is a mean of energies, so it never "
            f"passes Viterbi's; the best tagging that a descent meets here is {gap:.1f} nats above it.",
        ),
        pages.figure(
            free,
            "The same sentence: mean field seeks the closest product of independent tags, its free energy falling.",
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
