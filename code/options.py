"""The options of tag.py: their names, ranges and defaults, and what they amount to (a `Plan`)."""

from __future__ import annotations

import argparse
import difflib
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from corpus import InputError
from decoders import DECODERS
from tagger import KINDS
from training import Settings

ROOT = Path(__file__).resolve().parent.parent
ENDINGS = ("sup", "raw", "dev", "test")

# Tuned on endev: see writeup/experiments. A name that is missing here has the default of training.Settings.
TUNED: dict[str, dict[str, Any]] = {
    "hmm": dict(),
    "crf": dict(optimizer="adamw", lr=0.1, max_steps=60_000),
    "crf_backprop": dict(optimizer="adamw", lr=0.1, max_steps=60_000),
    "crf_neural": dict(optimizer="adamw", lr=0.02, max_steps=90_000, reg=1.0),
}
HOMEWORK = dict(
    lr=0.05, batch_size=30, max_steps=50_000, eval_interval=2_000, tolerance=1e-3, patience=1, smoothing=0.0,
    schedule="constant", warmup=0.0, clip=0.0,
)  # fmt: skip
SHOWN = ("optimizer", "lr", "batch_size", "max_steps", "eval_interval", "patience")  # in --help
SIZES = ("rnn_dim", "transition_features", "emission_features", "tag_dim")

HELP = """\
Train a tagger, or load one, and tag a corpus with it.

INPUT is a corpus file: one sentence a line, tokens word/TAG or bare words. A bare name is sought here, then in data/.
Its tags, where it has any, are used for the score only (and for early stopping, if its name ends in dev).

examples (in code/):
  python tag.py endev --model hmm                                     count, smooth, tag (step 1 of the homework)
  python tag.py endev --model crf_backprop                            stationary CRF, eqs. 30-31 (step 3)
  python tag.py endev --model crf_neural --lexicon words-50.txt       biRNN-CRF, eqs. 44-48 (step 4)
  python tag.py ../grader/data/entest --model crf_neural_ensup_words-50.model     load what was saved, and tag
  echo "Birds sing ." | python tag.py - --model crf_neural_ensup_words-50.model --untagged
  python tag.py endev --train ensup --crf --lexicon words-50.txt --rnn_dim 8 --model my.model    the homework's flags
"""
EPILOG = """\
With --model KIND the defaults are ours, as tuned on endev:
{tuned}
Without a KIND (the homework's flags) they are the homework's: lr .05, batch_size 30, tolerance .001, max_steps 50000,
eval_interval 2000, lambda 0, reg 0, rnn_dim 0, and SGD steps on the sum over the minibatch.
Ctrl-C while training saves MODEL.checkpoint; the same command with --checkpoint goes on from there.
Exit status: 0 done, 2 bad input or options (one line says which), 130 interrupted.
"""


class Parser(argparse.ArgumentParser):
    """Errors are one line and exit status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def number(kind: type, low: float, high: float = math.inf, open_low: bool = False) -> Callable[[str], Any]:
    """An argparse type: a finite number of a kind in a range."""

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no {'whole ' if kind is int else ''}number") from None
        if not low <= value <= high or value == math.inf or (open_low and value == low):
            bounds = f"{'above' if open_low else 'at least'} {low:g}" + (
                f" and at most {high:g}" if high < math.inf else ""
            )
            raise argparse.ArgumentTypeError(f"{text} is out of range (it must be {bounds})")
        return value

    return parse


def tuned_defaults() -> str:
    """A line for each kind that names its defaults."""
    lines = []
    for kind, tuned in TUNED.items():
        settings = Settings(**tuned)
        values = [f"{name} {getattr(settings, name)}" for name in SHOWN]
        lines.append(f"  {kind:<14}{f'lambda {settings.smoothing}' if kind == 'hmm' else ', '.join(values)}")
    return "\n".join(lines)


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="tag.py", description=HELP, epilog=EPILOG.format(tuned=tuned_defaults()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    p.add_argument("input", metavar="INPUT", help="corpus to tag; - reads standard input and writes to standard output")

    g = p.add_argument_group("model and data")
    g.add_argument(
        "-m", "--model", metavar="KIND|FILE", help=f"a kind to train ({', '.join(KINDS)}), or a model file to load"
    )
    g.add_argument("-t", "--train", nargs="+", metavar="NAME", help="training corpora (default: INPUT's prefix + sup)")
    g.add_argument(
        "--dev", metavar="NAME", help="corpus for early stopping (default: INPUT if it ends in dev, else prefix + dev)"
    )
    g.add_argument(
        "--save", metavar="FILE", help="where the trained model goes (default: named after kind, corpus, lexicon)"
    )
    g.add_argument(
        "-c", "--checkpoint", metavar="FILE", help="start from this model, or go on with this interrupted training"
    )
    g.add_argument("--untagged", action="store_true", help="read every token of INPUT as a bare word")

    g = p.add_argument_group("word features, in any mixture (handout H.1, questions 23-26)")
    g.add_argument(
        "-l",
        "--lexicon",
        action="append",
        default=[],
        metavar="FILE",
        help="pretrained word vectors; sought here, then in lexicons/; may be said more than once",
    )
    g.add_argument(
        "--one_hot", action="store_true", help="one-hot training words (what there is if nothing else is said)"
    )
    g.add_argument(
        "-L", "--problex", action="store_true", help="log p(tag | word) and log p(word) in the training text"
    )
    g.add_argument("--affixes", action="store_true", help="affixes and shape of the word")

    g = p.add_argument_group("model sizes (handout H.4)")
    g.add_argument("--crf", action="store_true", help="without a KIND: a CRF instead of an HMM")
    size = number(int, 1, 4096)
    g.add_argument("-r", "--rnn_dim", type=number(int, 0, 4096), metavar="D", help="d of eq. 46 (32; 0: no context)")
    g.add_argument("--transition_features", type=size, metavar="F", help="rows of U^A, eq. 47 (16)")
    g.add_argument("--emission_features", type=size, metavar="F", help="rows of U^B, eq. 48 (64)")
    g.add_argument("--tag_dim", type=size, metavar="D", help="dimension of the tag embeddings (32)")

    g = p.add_argument_group("training")
    g.add_argument(
        "-λ", "--lambda", dest="smoothing", type=number(float, 0), metavar="L", help="add-lambda smoothing (HMM)"
    )
    g.add_argument("--reg", type=number(float, 0), metavar="C", help="L2 regularization: C |theta|^2 / N in the loss")
    g.add_argument("--lr", type=number(float, 0, 1e6, open_low=True), help="learning rate")
    g.add_argument("--optimizer", choices=("adamw", "sgd"))
    g.add_argument("--batch_size", type=number(int, 1, 100_000), metavar="B", help="sentences a minibatch")
    g.add_argument("--max_steps", type=number(int, 1), metavar="N", help="sentences to train on at most")
    g.add_argument(
        "--eval_interval", type=number(int, 1), metavar="N", help="sentences between looks at the dev corpus"
    )
    g.add_argument(
        "--loss", choices=("cross_entropy", "viterbi_error"), help="what is watched on dev (never what is trained)"
    )
    g.add_argument("--tolerance", type=number(float, 0, 1), help="smallest relative improvement that counts as one")
    g.add_argument(
        "--patience", type=number(int, 1), metavar="N", help="evaluations without improvement before it stops"
    )
    g.add_argument(
        "--restarts", type=number(int, 0, 1000), metavar="N", help="other starts, for the lowest training loss"
    )
    g.add_argument(
        "--seed", type=number(int, 0, 2**31), default=0, help="same seed, same result (same machine and threads)"
    )

    g = p.add_argument_group("output")
    g.add_argument("--decoder", choices=DECODERS, default="viterbi", help="how the tags are found")
    g.add_argument(
        "-o", "--output_file", metavar="FILE", help="the tagging (default: MODEL_INPUT.output beside the model)"
    )
    g.add_argument(
        "-e", "--eval_file", metavar="FILE", help="the scores, appended (default: MODEL_INPUT.eval beside it)"
    )
    g.add_argument("--metrics", metavar="FILE", help="the scores as JSON")
    g.add_argument("-q", "--quiet", action="store_true", help="no progress, only the scores")
    g.add_argument("-v", "--verbose", action="store_true", help="also the commonest confusions")

    g = p.add_argument_group("machine")
    g.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu")
    g.add_argument("--threads", type=number(int, 1, 1024), metavar="N", help="CPU threads (default: one a core)")
    g.add_argument("--compile", action="store_true", help="compile the kernels first, where there is a C++ compiler")
    return p


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and how; it goes into checkpoints, so that resuming needs no options."""

    kind: str
    train: list[str]
    dev: str | None
    lexicon: list[str]
    one_hot: bool
    problex: bool
    affixes: bool
    sizes: dict[str, int]
    settings: dict[str, Any]
    save: str
    start: str | None  # the model whose weights training begins with

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Plan:
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def find(name: str, folder: str) -> Path:
    """The file of this name, as given or else in a folder of the package.

    Raises:
        InputError: there is none.
    """
    given = Path(name)
    if os.path.exists(name) or given.name != name:
        return given
    shipped = ROOT / folder / name
    if shipped.exists():
        return shipped
    raise InputError(f"{name}: no such file, here or in {folder}/")


def prefix(name: str) -> str | None:
    """`en` of endev, ensup, enraw, entest; None for a name without such an ending."""
    base = Path(name).name
    return next((base.removesuffix(end) for end in ENDINGS if base.endswith(end) and base != end), None)


def model_argument(args: argparse.Namespace) -> tuple[str | None, str | None]:
    """`--model` as (kind, None), (None, file), or (None, None) where it was not given.

    Raises:
        InputError: it is neither a kind nor looks like a file.
    """
    name = args.model
    if name is None:
        return None, None
    if name in KINDS:
        return name, None
    if "." in name or "/" in name or os.path.exists(name):
        return None, name
    near = difflib.get_close_matches(name, KINDS, n=1, cutoff=0.0)
    raise InputError(
        f"--model {name}: no kind of model and no file; did you mean {near[0]}? (kinds: {', '.join(KINDS)})"
    )


def make_plan(args: argparse.Namespace, kind: str | None, file: str | None) -> Plan:
    """What the options amount to, where a model is to be trained.

    Raises:
        InputError: the training corpus cannot be told, or an option does not fit the kind.
    """
    homework = kind is None
    if kind is None:
        kind = "hmm"
        if args.crf:
            kind = "crf_neural" if args.rnn_dim or args.lexicon or args.problex else "crf_backprop"
    elif args.crf and kind == "hmm":
        raise InputError("--crf does not go with --model hmm")
    features = [flag for flag in ("lexicon", "problex", "affixes") if getattr(args, flag)]
    if kind in ("hmm", "crf") and features:
        raise InputError(f"--{features[0]} does not go with a model of kind {kind}, whose words are one-hot")

    defaults = dict(HOMEWORK, optimizer="adamw" if kind == "crf_neural" else "sgd") if homework else TUNED[kind]
    given = {field.name: getattr(args, field.name, None) for field in fields(Settings)}
    settings = {**defaults, **{name: value for name, value in given.items() if value is not None}}
    if homework and settings["optimizer"] == "sgd":
        settings["sum_over_batch"] = True

    sizes = {name: getattr(args, name) for name in SIZES if getattr(args, name) is not None}
    if homework and kind == "crf_neural":
        sizes.setdefault("rnn_dim", 0)
    if sizes and kind != "crf_neural" and sizes != {"rnn_dim": 0}:
        raise InputError(f"--{next(iter(sizes))} does not go with a model of kind {kind}")
    train = args.train
    if not train:
        of_input = prefix(args.input)
        if of_input is None:
            raise InputError(f"{args.input}: its name has no prefix to tell the training corpus by; say --train NAME")
        train = [of_input + "sup"]
    names = [*(Path(name).stem for name in args.lexicon), *(flag for flag in features if flag != "lexicon")]
    parts = [
        kind,
        "+".join(Path(name).name for name in train),
        *(["one_hot"] if args.one_hot and names else []),
        *names,
    ]
    return Plan(
        kind=kind,
        train=train,
        dev=args.dev,
        lexicon=args.lexicon,
        one_hot=args.one_hot or not features,
        problex=args.problex,
        affixes=args.affixes,
        sizes=sizes if kind == "crf_neural" else {},
        settings=settings,
        save=args.save or file or "_".join(parts) + ".model",
        start=args.checkpoint,
    )
