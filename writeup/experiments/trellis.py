"""One sentence's trellis with its posterior, and how approximate searches move over it: a page to look at.

    python -m writeup.experiments.trellis SENTENCE [--model FILE | --quick] [--network KIND] [--out FILE] ...

SENTENCE is words with blanks between, as in the corpora: punctuation is a word (`Birds sing .`). Or it names a sentence
of a corpus, `endev:17` the 17th, whose gold tags are then shown too. The page stands by itself; nothing is fetched.

--model is by default what `make tag` makes. --quick trains a small one for a moment instead, with its network, and
keeps neither. Searches that need an inference network use one that lies beside the model; with --network KIND one of
this kind and default sizes, trained first where there is none, as by `tag.py --decoder infnet --infnet KIND`.

All is computed in double precision, so that no energy falls below Viterbi's by rounding. Energies are in nats.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # run with -m, it is not there
import common  # before torch

# isort: split

import argparse
import glob
import itertools
import math
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import trellis_page
from jaxtyping import Float, Int
from torch import Tensor

import learn_infnet
import options
from chain import NEG_INF, ImpossibleError, LinearChain
from corpus import Batch, InputError, IntegerizedCorpus, Sentence, parse_sentence, read_corpus, write_whole
from decoders import gradient_descent as descents
from decoders import infnet as networks
from decoders import tailored, warm_start
from decoders.gradient_descent import Iterate
from decoders.relaxation import finite
from local import LocalTagger
from outputs import require_writable
from plan import find
from tagger import Tagger
from training import Interrupted

USUAL = common.CODE / "crf_neural_ensup_words-50.model"  # of `make tag`
QUICK = ["endev", "--model", "crf_backprop", "--max_steps", "20000", "--decoder", "infnet", "--infnet_steps", "8000"]
EDGE = 0.005  # a pair of tags that is less probable has no edge


class Search(NamedTuple):
    """A descent that the page shows: its name, what it is, and where it is after each step, the start included."""

    name: str
    what: str
    iterates: list[Iterate]


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        run(args)
        return 0
    except (Interrupted, KeyboardInterrupt):
        return 130
    except (InputError, OSError, common.RunError) as error:
        print(f"trellis: error: {error}", file=sys.stderr)
        return 2


# fmt: off
def parser() -> options.Parser:
    p = options.Parser(
        prog="trellis", usage="python -m writeup.experiments.trellis SENTENCE [options]", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("sentence", nargs="+", metavar="SENTENCE", help="words, or CORPUS:NUMBER")
    which = p.add_mutually_exclusive_group()
    which.add_argument("--model", type=Path, metavar="FILE", help=f"({USUAL.relative_to(common.ROOT)})")
    which.add_argument("--quick", action="store_true", help="train a small CRF and its network, and keep neither")
    p.add_argument("--network", choices=tuple(networks.KINDS), help="the inference network (one beside the model)")
    p.add_argument("--out", type=Path, default=Path("trellis.html"), metavar="FILE", help="the page (trellis.html)")
    p.add_argument("--iterations", type=options.number(int, 1, 1000), default=50, metavar="N",
                   help="of each search (50)")
    p.add_argument("--step", type=options.number(float, 0, 1e9, open_low=True), default=descents.DEFAULT.step,
                   metavar="X", help=f"of the descent from a random start ({descents.DEFAULT.step:g})")
    p.add_argument("--seed", type=options.number(int, 0, 2**31), default=0, metavar="N", help="of that start (0)")
    p.add_argument("--tags", type=options.number(int, 1, 1000), default=12, metavar="N",
                   help="rows; those of less probable tags on no final path are put together (12)")
    return p
# fmt: on


def run(args: argparse.Namespace) -> None:
    """Read, search, write. Raises InputError for anything wrong with what the user gave."""
    sentence, corpus = the_sentence(" ".join(args.sentence))
    require_writable(args.out)
    with tempfile.TemporaryDirectory(prefix="trellis-") as folder:
        model = train_quickly(args.network, Path(folder)) if args.quick else args.model or USUAL
        if args.model is None and not model.exists():
            raise InputError(
                f"{model.relative_to(common.ROOT)}: no such file; `make tag` makes it, or say --model FILE, or --quick"
            )
        tagger = Tagger.load(model)
        network = the_network(model, tagger, None if args.quick else args.network)
    try:
        drawn = content(sentence, tagger, network, args)
    except ImpossibleError:
        raise InputError(f"the model {model} finds no tagging of the sentence possible") from None
    training = " ".join(Path(name).name for name in tagger.more.get("train") or [])
    made = f"{tagger.kind}, {tagger.parameter_count():,} parameters" + (f", trained on {training}" if training else "")
    drawn["about"] = f"{corpus} Model: {made}.".strip()
    with write_whole(args.out) as file:
        file.write(trellis_page.page(drawn))
    print(f"in {args.out}")


# What is given


def the_sentence(text: str) -> tuple[Sentence, str]:
    """The sentence, and which one of a corpus it is, if it is from one.

    Raises:
        InputError: it has no word, or there is no such corpus or sentence.
    """
    words = text.split()
    named = re.fullmatch(r"(.+):(\d+)", text) if len(words) == 1 else None
    if not named:
        if not words:
            raise InputError("SENTENCE: no word in it")
        return parse_sentence(" ".join(words), "SENTENCE", untagged=True), ""
    name, number = named[1], int(named[2])
    sentences = read_corpus(find(name, "data"))
    if not 1 <= number <= len(sentences):
        raise InputError(f"{text}: {name} has the sentences 1 to {len(sentences)}")
    return sentences[number - 1], f"Sentence {number} of {Path(name).name}."


def train_quickly(network: str | None, folder: Path) -> Path:
    """A small model and its inference network in a folder."""
    print("training a small model and an inference network for a moment", file=sys.stderr)
    common.run_tag([*QUICK, "--infnet", network or "cnn"], folder, "quick")
    return folder / "quick.model"


def the_network(model: Path, tagger: Tagger, kind: str | None) -> LocalTagger | None:
    """An inference network of this kind, trained if need be; of any kind, if None, and None if none is there.

    Of joint training none is taken of itself: it searches an energy of its own.
    """
    if kind is not None:
        command = ["-", "--model", str(model), "--decoder", "infnet", "--infnet", kind]
        return learn_infnet.network_for(options.parser().parse_args(command), tagger, model)[1]
    mark = networks.fingerprint(tagger)
    for file in sorted(model.parent.glob(f"{glob.escape(model.name)}.*.infnet")):
        network = networks.load(file, tagger, mark)
        if network is not None and network.more["infnet"]["objective"] != "joint":
            return network
    return None


# What is shown


@torch.no_grad()
def content(
    sentence: Sentence, tagger: Tagger, network: LocalTagger | None, args: argparse.Namespace
) -> dict[str, Any]:
    """All that the page shows, as JSON has it. Tags are numbers of the tagset, rows of the trellis places in `rows`.

    A search's `relaxed` is in units of 1/10,000. An energy is None where the tagging is impossible.

    Raises:
        InputError: the trellis is too large to draw.
        ImpossibleError: no tagging of the sentence is possible.
    """
    tagger = tagger.double()
    batch = IntegerizedCorpus([sentence], tagger.lexicon.vocab, tagger.tagset).batch(torch.tensor([0]))
    chain = tagger(batch).detach()
    best, k = chain.argmax, len(tagger.tagset)
    gold = batch.tags[0].tolist() if any(sentence.tags) else None
    found = list(searches(tagger, batch, chain, network, args))
    final = [search.iterates[-1].tags[0].tolist() for search in found]
    rows = rows_of(
        chain, {tag for path in (best[0].tolist(), gold or [], *final) for tag in path if tag >= 0}, args.tags
    )
    row = torch.full((k,), len(rows))  # all others share the last row
    row[rows] = torch.arange(len(rows))
    count = len(rows) + (len(rows) < k)
    try:
        pairs = chain.pair_marginals[0]
    except ValueError:
        raise InputError(f"{k} tags of {len(sentence)} words: too large to draw") from None
    edges = together(together(pairs, row, count).transpose(1, 2), row, count).transpose(1, 2)
    return dict(
        words=sentence.words,
        tagset=list(tagger.tagset),
        rows=rows,
        gold=gold and list(sentence.tags),
        marginals=rounded(together(chain.marginals[0], row, count), 6),
        edges=[[*place, round(edges[tuple(place)].item(), 4)] for place in (edges >= EDGE).nonzero().tolist()],
        threshold=EDGE,
        viterbi=dict(
            path=best[0].tolist(), energy=-chain.score(best).item(), probability=chain.log_prob(best).exp().item()
        ),
        log_partition=chain.log_partition.item(),
        forbidden=any(bool((part == NEG_INF).any()) for part in (chain.start, chain.emit, chain.trans, chain.stop)),
        network=network is not None,
        searches=[
            dict(
                name=search.name,
                what=search.what,
                paths=[iterate.tags[0].tolist() for iterate in search.iterates],
                relaxed_energies=[iterate.relaxed_energy.item() for iterate in search.iterates],
                energies=[energy_or_none(chain, iterate.tags) for iterate in search.iterates],
                relaxed=[rounded(together(iterate.relaxed[0], row, count) * 10_000) for iterate in search.iterates],
            )
            for search in found
        ],
    )


def searches(
    tagger: Tagger, batch: Batch, chain: LinearChain, network: LocalTagger | None, args: argparse.Namespace
) -> Iterator[Search]:
    """Those that can be made, each with its iterates."""
    potentials, momentum = finite(chain), descents.DEFAULT.momentum

    def descent(logits: Float[Tensor, "1 n k"], step: float) -> list[Iterate]:
        return first(descents.iterates(potentials, logits, step, momentum), args.iterations)

    logits = descents.random_logits(len(batch.words[0]), len(tagger.tagset), args.seed)[None]
    what = f"Gradient descent on the relaxed energy from a random start, step {args.step:g}."
    yield Search("Gradient descent", what, descent(logits, args.step))
    if network is None:
        return
    network, settings, kind = network.double(), tailored.DEFAULT, network.more["infnet"]["network"]
    what = (
        f"Iteration 0 is the inference network's ({kind}) own answer; then its weights are tailored to this sentence, "
        f"by gradient descent on the same energy, step {settings.step:g}."
    )
    words = network.lexicon.embed(batch)
    steps = tailored.iterates(potentials, network.network, words, settings.step, settings.momentum)
    yield Search("Inference network", what, first(steps, args.iterations))
    step = warm_start.DEFAULT.step
    what = f"Gradient descent on the relaxed energy from the answer of the inference network ({kind}), step {step:g}."
    yield Search("Warm start", what, descent(network.logits(batch), step))


def first(steps: Iterator[Iterate], iterations: int) -> list[Iterate]:
    """The start and so many more."""
    return list(itertools.islice(steps, iterations + 1))


def rows_of(chain: LinearChain, wanted: set[int], count: int) -> list[int]:
    """The tags that are shown, in their order: those wanted, and others by their highest marginal up to `count`."""
    k = chain.emit.shape[2]
    likely = chain.marginals[0].amax(dim=0).argsort(descending=True).tolist()
    shown = list(dict.fromkeys([*wanted, *likely]))[: max(count, len(wanted))]
    return list(range(k)) if len(shown) >= k - 1 else sorted(shown)  # a row for one tag is its own


def together(p: Float[Tensor, "n k *more"], row: Int[Tensor, "k"], count: int) -> Float[Tensor, "n count *more"]:
    """The probabilities of rows: what is in the same row is added up."""
    return p.new_zeros(len(p), count, *p.shape[2:]).index_add_(1, row, p)


def rounded(x: Tensor, digits: int = 0) -> list[Any]:
    if not digits:
        return x.round().long().tolist()
    return ((x * 10**digits).round() / 10**digits).tolist()


def energy_or_none(chain: LinearChain, tags: Int[Tensor, "1 n"]) -> float | None:
    energy = -chain.score(tags).item()
    return energy if math.isfinite(energy) else None


if __name__ == "__main__":
    sys.exit(main())
