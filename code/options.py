"""The options of tag.py: their names, ranges and help. What they amount to is in plan.py."""

from __future__ import annotations

import argparse
import math
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

from corpus import InputError
from decoders import DECODERS, LEARNED
from decoders.infnet import ANNEALINGS, OBJECTIVES
from decoders.infnet import KINDS as INFNETS
from defaults import AWESOME, TUNED
from networks import FEEDS
from recipe import GROUPS, read_recipe
from tagger import KINDS
from training import Settings

SHOWN = ("optimizer", "lr", "reg", "batch_size", "max_steps", "eval_interval", "patience")  # in --help

HELP = """\
Train a tagger, or load one, and tag a corpus with it.

INPUT is a corpus file: one sentence a line, tokens word/TAG or bare words. A bare name is sought here, then in data/.
Its tags, where it has any, are used for the score only (and for early stopping, if its name ends in dev).

examples (in code/):
  python tag.py endev --model hmm                                     count, smooth, tag (step 1 of the homework)
  python tag.py endev --model crf_backprop                            stationary CRF, eqs. 30-31 (step 3)
  python tag.py endev --model crf_neural --lexicon words-50.txt       biRNN-CRF, eqs. 44-48 (step 4; questions 16-22)
  python tag.py endev --model crf_neural --problex --rnn_dim 0        other word features, no context (questions 23-26)
  python tag.py endev --model crf_neural --rnn lstm --potentials shared    its variations (section 4, footnotes 29, 32)
  python tag.py endev --awesome                                       our best
  python tag.py endev --model crf_blstm --plus                        BLSTM-CRF+ (section 4)
  python tag.py endev --model crf_blstm_ensup_plus.model --decoder infnet --infnet blstm    an inference network
  python tag.py enraw --model hmm_neural --train enraw --states 20    an HMM of anonymous states, of raw text (L.1)
  python tag.py endev --model crf_neural_ensup_words-50.model --kbest 5    load what was saved, and tag
  echo "Birds sing ." | python tag.py - --model crf_neural_ensup_words-50.model --untagged
  python tag.py endev --train ensup --crf --lexicon words-50.txt --rnn_dim 8 --model my.model    the homework's flags
"""
EPILOG = """\
With --model KIND the defaults are ours, as tuned on endev:
{tuned}
{awesome}
Options go before these; --no_NAME undoes a NAME (--no_problex, --no_lexicon, --no_outside).
Without a KIND (the homework's flags) they are the homework's: lr .05, batch_size 30, tolerance .001, max_steps 50000,
eval_interval 2000, lambda 0, reg 0, rnn_dim 0, and SGD steps on the sum over the minibatch.

--recipe FILE (section 4, "parameter groups") is TOML: a [[group]] table for each group of parameters that does not
simply follow the command line, with its name and any of lr, weight_decay, from_epoch, to_epoch (epochs count from 1;
outside of them the group is frozen). The groups:
{groups}

Ctrl-C while training saves MODEL.checkpoint; the same command with --checkpoint goes on from there.
Exit status: 0 done, 2 bad input or options (one line says which), 130 interrupted.
"""


class Parser(argparse.ArgumentParser):
    """Errors are one line and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def number(
    kind: type, low: float, high: float = math.inf, open_low: bool = False, open_high: bool = False
) -> Callable[[str], Any]:
    """An argparse type: a finite number of a kind in a range."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {'whole ' if kind is int else ''}number") from None
        outside = not low <= value <= high or value == math.inf
        if outside or (open_low and value == low) or (open_high and value == high):
            bounds = f"{'above' if open_low else 'at least'} {low:g}"
            if high < math.inf:
                bounds += f" and {'below' if open_high else 'at most'} {high:g}"
            raise argparse.ArgumentTypeError(f"{text} is out of range (it must be {bounds})")
        return value

    return parse


def recipe(path: str) -> list[dict[str, Any]]:
    """An argparse type: what a recipe file says."""
    try:
        return read_recipe(path)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def epilog() -> str:
    """What the defaults of each kind are, and what recipes are made of."""
    lines = []
    for kind, tuned in TUNED.items():
        settings = Settings(**tuned)
        values = [f"{name} {getattr(settings, name)}" for name in SHOWN]
        lines.append(f"  {kind:<14}{f'lambda {settings.smoothing}' if kind == 'hmm' else ', '.join(values)}")
    preset = []
    for name, value in AWESOME.items():
        values = [""] if value is True else value if isinstance(value, list) else [value]
        preset.extend(f"--{name} {each}".rstrip() for each in values)
    preset = textwrap.fill(f"and --awesome is {' '.join(preset)}", 118, break_on_hyphens=False)
    groups = [f"  {name:<14}{what}" for name, (_, what) in GROUPS.items()]
    return EPILOG.format(tuned="\n".join(lines), awesome=preset, groups="\n".join(groups))


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="tag.py",
        usage="%(prog)s INPUT [--model KIND|FILE] [options]",
        description=HELP,
        epilog=epilog(),
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=120),
    )
    p.add_argument("input", metavar="INPUT", help="corpus to tag; - reads standard input and writes to standard output")
    for add_group in (data, features, without_context, neural, variations, networks, training, search, output, machine):
        add_group(p)
    return p


def switch(group: argparse._ArgumentGroup, *names: str, help: str) -> None:
    """An option that is said or not, and its --no_ form, which undoes it; None where neither is said."""
    name = names[-1].removeprefix("--")
    group.add_argument(*names, action="store_const", const=True, help=help)
    group.add_argument(f"--no_{name}", dest=name, action="store_const", const=False, help=argparse.SUPPRESS)


# fmt: off
def data(p: Parser) -> None:
    g = p.add_argument_group("model and data")
    g.add_argument("-m", "--model", metavar="KIND|FILE",
                   help=f"a kind to train ({', '.join(KINDS)}), or a model file to load")
    g.add_argument("--crf", action="store_true", help="without a KIND: a CRF instead of an HMM")
    g.add_argument("-a", "--awesome", action="store_true",
                   help="the kind awesome, also beside the homework's flags (section 4; see below)")
    g.add_argument("-t", "--train", nargs="+", metavar="NAME", help="training corpora (default: INPUT's prefix + sup)")
    g.add_argument("--dev", metavar="NAME",
                   help="corpus for early stopping (default: INPUT if it ends in dev, else prefix + dev)")
    g.add_argument("--save", metavar="FILE",
                   help="where the trained model goes (default: named after kind, corpus, word features)")
    g.add_argument("-c", "--checkpoint", metavar="FILE",
                   help="start from this model, or go on with this interrupted training")
    g.add_argument("--untagged", action="store_true", help="read every token of INPUT as a bare word")


def features(p: Parser) -> None:
    g = p.add_argument_group("word features, in any mixture, of all kinds but hmm and crf (H.1, questions 23-26)")
    g.add_argument("-l", "--lexicon", action="append", metavar="FILE",
                   help="pretrained word vectors (eqs. 42-43); sought here, then in lexicons/; may be said repeatedly")
    g.add_argument("--no_lexicon", dest="lexicon", action="store_const", const=[], help=argparse.SUPPRESS)
    switch(g, "--one_hot", help="one-hot training words (what there is if nothing else is said; question 23)")
    switch(g, "-L", "--problex", help="log p(tag | word) and log p(word) in the training text (question 23, L.3)")
    switch(g, "--affixes", help="affixes and shape of the word (section 4)")
    switch(g, "--characters", help="a convolution over the word's characters, trained with the rest (section 4)")
    switch(g, "--finetune", help="train the pretrained vectors too (H.1, section 4)")


def without_context(p: Parser) -> None:
    g = p.add_argument_group("models without context")
    g.add_argument("-u", "--unigram", action="store_const", const=True,
                   help="tags do not depend on their neighbours [hmm, hmm_neural, crf, crf_backprop, crf_extended, "
                   "awesome; makes a crf_neural a crf_extended]")
    g.add_argument("--init", choices=("hmm",),
                   help="begin with the log-probabilities of an HMM, counted first (H.1) [crf, crf_backprop]")
    g.add_argument("--tag_rank", type=number(int, 0, 4096), metavar="R",
                   help="tag embeddings of R dimensions make W^A (H.2); 0: it is free (0) [crf_backprop]")
    g.add_argument("--tag_form", choices=("symmetric", "asymmetric"),
                   help="W^A = Theta Theta^T as in H.2, or Theta Theta'^T (symmetric) [crf_backprop]")
    g.add_argument("--word_dim", type=number(int, 0, 4096), metavar="D",
                   help="word features are projected to D dimensions (64); 0: they are not (H.2, L.2) [hmm_neural]")
    g.add_argument("--gem_steps", type=number(int, 0, 1000), metavar="S",
                   help="generalized EM: S gradient steps after the E step of a minibatch (L.1); 0: steps on the "
                   "log-likelihood itself (0) [hmm_neural]")
    g.add_argument("--states", type=number(int, 1, 10_000), metavar="K",
                   help="look at no tags; learn K anonymous ones, s0 to s(K-1), from the words (L) [hmm, hmm_neural]")


def neural(p: Parser) -> None:
    g = p.add_argument_group("the biRNN-CRF: crf_neural, crf_extended, awesome (H.4, questions 16-22)")
    dimension = number(int, 1, 4096)
    g.add_argument("-r", "--rnn_dim", type=number(int, 0, 4096), metavar="D", help="d of eq. 46 (32; 0: no context)")
    g.add_argument("--transition_features", type=dimension, metavar="F", help="rows of U^A, eq. 47 (16)")
    g.add_argument("--emission_features", type=dimension, metavar="F", help="rows of U^B, eq. 48 (64)")
    g.add_argument("--tag_dim", type=number(int, 0, 4096), metavar="D",
                   help="dimension of the tag embeddings, eqs. 47-48 (32); of an hmm_neural, with 0 for none, H.2 (64)")


def variations(p: Parser) -> None:
    g = p.add_argument_group(
        "its variations: crf_extended, awesome (section 4); any of them makes a crf_neural a crf_extended")
    g.add_argument("--potentials", choices=("full", "shared", "inner", "emission_context", "emission_mlp", "window"),
                   help="full: eqs. 45-48; of footnote 32, theta^{A,s,t} . f(w, i) is shared, h_i and h'_{i-2} are "
                   "inner, transitions that see no context are emission_context; with these, emissions by one hidden "
                   "layer for all tags are emission_mlp; a window of words in place of the RNN is window (full)")
    g.add_argument("--window", type=number(int, 1, 100), metavar="N",
                   help="its words on each side (1); those of the second convolution of a local_cnn")
    g.add_argument("--no_boundary", dest="boundary", action="store_const", const=False,
                   help="no bigram factors of BOS and EOS (footnote 29)")
    g.add_argument("--rnn", choices=("sigmoid", "lstm", "gru"), help="in place of eq. 46 (sigmoid)")
    g.add_argument("--layers", type=number(int, 1, 16), metavar="N",
                   help="depth of the RNN (1), also that of a crf_blstm, local_blstm, local_seq2seq")
    switch(g, "--outside", help="hand-made features of the word (one-hot, problex, affixes) outside sigma too (H.5)")
    g.add_argument("--dropout", type=number(float, 0, 1, open_high=True), metavar="P",
                   help="share of the numbers in embedded words (lstm, gru) and in RNN states that are left out at "
                   "random in training (0)")


def networks(p: Parser) -> None:
    g = p.add_argument_group(
        "BLSTM-CRF and taggers without transitions (section 4, after Tu and Gimpel 2019): crf_blstm, local_cnn, "
        "local_blstm, local_seq2seq; their word features are words-50.txt if no other --lexicon is said")
    g.add_argument("--hidden", type=number(int, 1, 4096), metavar="H",
                   help="states of an LSTM in each direction, filters of each convolution (100)")
    switch(g, "--plus", help="BLSTM-CRF+ and the like: --finetune, --characters, and dropout of .5 on the embeddings "
           "of characters, the word features and the states")


def training(p: Parser) -> None:
    g = p.add_argument_group("training (questions 20-21; defaults below)")
    g.add_argument("-λ", "--lambda", dest="smoothing", type=number(float, 0), metavar="L",
                   help="add-lambda smoothing of an HMM's counts")
    g.add_argument("--reg", type=number(float, 0), metavar="C", help="L2 regularization: C |theta|^2 / N in the loss")
    g.add_argument("--lr", type=number(float, 0, 1e6, open_low=True), metavar="X", help="learning rate")
    g.add_argument("--optimizer", choices=("adamw", "sgd"))
    g.add_argument("--batch_size", type=number(int, 1, 100_000), metavar="B", help="sentences a minibatch")
    g.add_argument("--max_steps", type=number(int, 1), metavar="N", help="sentences to train on at most")
    g.add_argument("--eval_interval", type=number(int, 1), metavar="N", help="sentences between looks at dev")
    g.add_argument("--loss", choices=("cross_entropy", "viterbi_error"),
                   help="what is watched on dev, never what is trained (cross_entropy)")
    g.add_argument("--tolerance", type=number(float, 0, 1), metavar="X",
                   help="smallest relative improvement that counts as one")
    g.add_argument("--patience", type=number(int, 1), metavar="N", help="looks without improvement before it stops")
    g.add_argument("--restarts", type=number(int, 0, 1000), metavar="N",
                   help="other starts, for the lowest training loss (4 under 20,000 training tokens, else 0)")
    g.add_argument("--seed", type=number(int, 0, 2**31), metavar="N",
                   help="same seed, same result on one machine and number of threads (0)")
    g.add_argument("--finetune_lr", type=number(float, 0, 1e6), metavar="X",
                   help="learning rate of the pretrained vectors, with --finetune (that of --lr)")
    g.add_argument("--finetune_from", type=number(int, 1), metavar="EPOCH",
                   help="the first epoch in which they are trained (1)")
    g.add_argument("--recipe", type=recipe, metavar="FILE",
                   help="when and how fast groups of parameters learn (section 4; see below)")


def search(p: Parser) -> None:
    g = p.add_argument_group("search (part 4)")
    g.add_argument("--decoder", choices=(*DECODERS, *LEARNED), default="viterbi",
                   help="how the tags are found (viterbi): the best tagging; the best tag of each word is posterior; "
                   "Viterbi on the likely tags, with a proof, is restricted; beam, gradient_descent and mean_field "
                   "are approximate; an inference network is infnet; one for each sentence, on from the common one, "
                   "tailored; gradient descent from where it ends, warm_start")
    g.add_argument("--iterations", type=number(int, 0, 1_000_000), metavar="N",
                   help="steps a sentence [gradient_descent (50), tailored (5), warm_start (10)]")
    g.add_argument("--step", type=number(float, 0, 1e9, open_low=True), metavar="X",
                   help="size of a step, for the energy of a sentence in nats [gradient_descent (1), tailored (.003), "
                   "warm_start (10)]")
    g = p.add_argument_group(
        "inference networks: infnet, tailored, warm_start; trained where there is none beside the model that was "
        "trained so (MODEL.SETTINGS.infnet)")
    g.add_argument("--infnet", choices=tuple(INFNETS), help="which network (cnn)")
    g.add_argument("--infnet_hidden", type=number(int, 1, 4096), metavar="H", help="as --hidden (100)")
    g.add_argument("--infnet_layers", type=number(int, 1, 16), metavar="N", help="as --layers (1) [blstm, seq2seq]")
    g.add_argument("--infnet_window", type=number(int, 1, 100), metavar="N",
                   help="words on each side that the second convolution looks at (1) [cnn]")
    switch(g, "--infnet_plus", help="as --plus (if the model reads characters)")
    g.add_argument("--infnet_feed", choices=FEEDS,
                   help="what it reads of the label before: its own best one; in training, at first gold ones, ever "
                   "less often (scheduled sampling); or all, weighted by its softmax (argmax) [seq2seq]")
    g.add_argument("--infnet_lambda", type=number(float, 0), metavar="L",
                   help="weight of the token loss beside the energy (1)")
    g.add_argument("--infnet_annealing", choices=ANNEALINGS,
                   help="how that weight falls in epoch t: by the factor 1 - .01 t, or e^(-.01 t) (none)")
    g.add_argument("--infnet_objective", choices=OBJECTIVES,
                   help="low energy; low energy and high cost; or a network, a cost-augmented one and the energy "
                   "together, with a margin (energy)")
    g.add_argument("--infnet_lr", type=number(float, 0, 1e6, open_low=True), metavar="X", help="learning rate (.005)")
    g.add_argument("--infnet_steps", type=number(int, 1), metavar="N", help="sentences to train on at most (90000)")
    g.add_argument("--infnet_train", nargs="+", metavar="NAME",
                   help="corpora to train it on (default: those that the model file names, else INPUT's prefix + sup)")
    g.add_argument("--infnet_beam", type=number(int, 1, 1000), metavar="W",
                   help="beam search for the labels that a seq2seq reads, in place of its own best one")


def output(p: Parser) -> None:
    g = p.add_argument_group("output")
    g.add_argument("-o", "--output_file", metavar="FILE",
                   help="the tagging (default: MODEL_INPUT.output beside the model)")
    g.add_argument("-e", "--eval_file", metavar="FILE", help="the scores, appended (default: MODEL_INPUT.eval)")
    g.add_argument("--metrics", metavar="FILE", help="the scores as JSON")
    several = number(int, 1, 10_000)
    g.add_argument("--kbest", type=several, metavar="K",
                   help="also the K most probable taggings of each sentence, to MODEL_INPUT.kbest: lines of sentence "
                   "number, rank, log p(tags | words), tagging, with tabs between")
    g.add_argument("--samples", type=several, metavar="S",
                   help="also S taggings of each sentence drawn from p(tags | words) (I.1), to MODEL_INPUT.samples")
    g.add_argument("--generate", type=number(int, 1, 1_000_000), metavar="S",
                   help="also S sentences, tags and words, drawn from the model (L.3), to MODEL.generated "
                   "[hmm, hmm_neural]")
    g.add_argument("-q", "--quiet", action="store_true", help="no progress, only the scores")
    g.add_argument("-v", "--verbose", action="store_true", help="also the commonest confusions")


def machine(p: Parser) -> None:
    g = p.add_argument_group("machine")
    g.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu")
    g.add_argument("--threads", type=number(int, 1, 1024), metavar="N", help="CPU threads (default: one a core)")
    g.add_argument("--compile", action="store_true",
                   help="compile the kernels first, in a few seconds, where there is a C compiler (cc, or $CC)")
# fmt: on
