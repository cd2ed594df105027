"""From the options of tag.py to what is to be trained and how: a `Plan`. The tables it goes by are in defaults.py."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from corpus import InputError
from defaults import (
    AWESOME,
    FEATURES,
    FINETUNE,
    HMMS,
    HOMEWORK,
    NETWORKS,
    NEURAL,
    ONE_HOT_ONLY,
    PLUS,
    SETTINGS,
    SIZES,
    STATIONARY,
    TUNED,
    WORD_VECTORS,
)
from recipe import check_overlap
from tagger import KINDS, tagger_class
from training import Settings

ROOT = Path(__file__).resolve().parent.parent
ENDINGS = ("sup", "raw", "dev", "test")
OF_GRADIENT = ("optimizer", "lr", "batch_size", "eval_interval", "reg")  # settings that counting has no use for


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and how; it goes into checkpoints, so that resuming needs no options.

    Attributes:
        one_hot, lexicon, problex, affixes, characters, finetune: the word features.
        sizes: arguments of the model's constructor; settings: those of `Settings`.
        init: "hmm" to begin with the log-probabilities of an HMM (H.1).
        states: how many anonymous tags, where the tags of the corpora are not to be looked at.
        start: the model whose weights training begins with.
    """

    kind: str
    train: list[str]
    dev: str | None
    one_hot: bool
    lexicon: list[str]
    problex: bool
    affixes: bool
    characters: bool
    finetune: bool
    sizes: dict[str, Any]
    settings: dict[str, Any]
    init: str | None
    states: int | None
    save: str
    start: str | None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Plan:
        return cls(**{field.name: values[field.name] for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def spelled(name: str, value: Any = True) -> str:
    """An option as the user writes it."""
    return {"smoothing": "--lambda"}.get(name, f"--no_{name}" if value is False else f"--{name}")


def given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of these options that were given."""
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}


def find(name: str, folder: str) -> Path:
    """The file of this name, as given or else in a folder of the package.

    Raises:
        InputError: there is none.
    """
    path = Path(name)
    if os.path.exists(name) or path.name != name:
        return path
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
        return ("awesome" if args.awesome else None), None
    if name in KINDS:
        return name, None
    if "." in name or "/" in name or os.path.exists(name):
        return None, name
    near = difflib.get_close_matches(name.lower(), KINDS, n=1, cutoff=0.0)
    raise InputError(
        f"--model {name}: no kind of model and no file; did you mean {near[0]}? (kinds: {', '.join(KINDS)})"
    )


def choose_kind(args: argparse.Namespace, kind: str | None, start: str | None = None) -> tuple[str, bool]:
    """The kind of model to be trained, and whether the homework's defaults hold.

    Args:
        kind: what --model says, if it says a kind.
        start: the kind of the model or checkpoint that training goes on from.

    Raises:
        InputError: options contradict each other.
    """
    sizes = {name for name, value in given(args, *SIZES).items() if (name, value) != ("rnn_dim", 0)}
    if args.awesome:
        if kind not in (None, "awesome"):
            raise InputError(f"--awesome does not go with --model {kind}: it is a kind of its own")
        return "awesome", False
    homework = kind is None and (start is None or args.crf)
    if kind is None and start is not None and not (args.crf and start in HMMS):
        kind = start
    elif kind is None and args.crf:
        features = args.lexicon or args.problex
        kind = "crf_neural" if features or any("crf_backprop" not in SIZES[name] for name in sizes) else "crf_backprop"
    elif kind is None:
        kind = "hmm"
    elif args.crf and kind in HMMS:
        raise InputError(f"--crf does not go with --model {kind}")
    if kind == "crf_neural":
        varied = any("crf_extended" in SIZES[name] and "crf_neural" not in SIZES[name] for name in sizes)
        kind = "crf_extended" if varied or start == "crf_extended" else kind
    return kind, homework


def make_plan(
    args: argparse.Namespace, kind: str | None, file: str | None, start: Mapping[str, Any] | None = None
) -> Plan:
    """What the options amount to, where a model is to be trained.

    Args:
        kind, file: what `model_argument` says.
        start: of the model that training starts from, where it does: its kind, word features and sizes.

    Raises:
        InputError: the training corpus cannot be told, or options do not go together or with the kind.
    """
    kind, homework = choose_kind(args, kind, start and start["kind"])
    preset = start or preset_of(kind, bool(args.plus))
    chosen = {**preset, **given(args, *FEATURES, *SIZES, *FINETUNE)}
    for name in given(args, *FINETUNE):
        if not chosen.get("finetune"):
            raise InputError(f"{spelled(name)} needs --finetune")
    features = choose_features(kind, chosen)
    sizes = choose_sizes(kind, chosen)
    if homework and kind in NEURAL:
        sizes.setdefault("rnn_dim", 0)

    defaults = dict(HOMEWORK, optimizer="adamw" if kind in NEURAL else "sgd") if homework else TUNED[kind]
    settings = {**defaults, **given(args, *SETTINGS)}
    if homework and settings["optimizer"] == "sgd":
        settings["sum_over_batch"] = True
    if recipe := compose_recipe(args):
        settings["recipe"] = recipe
        if tagger_class(kind).trained_by == "counts":
            raise InputError(f"--recipe does not go with a model of kind {kind}, which is trained by counting")
    if args.init:
        settings["smoothing"] = require_init(args, kind, features, settings)
    if args.states:
        require_states(kind, features, settings)

    train = args.train
    if not train:
        of_input = prefix(args.input)
        if of_input is None:
            raise InputError(f"{args.input}: its name has no prefix to tell the training corpus by; say --train NAME")
        train = [of_input + "sup"]
    return Plan(
        kind=kind,
        train=train,
        dev=args.dev,
        **features,
        sizes=sizes,
        settings=settings,
        init=args.init,
        states=args.states,
        save=args.save or file or default_name(kind, train, given(args, *FEATURES, "plus")),
        start=args.checkpoint,
    )


def preset_of(kind: str, plus: bool) -> dict[str, Any]:
    """The word features and sizes that a kind has unless the options say otherwise."""
    if kind in NETWORKS:
        return {**WORD_VECTORS, **(PLUS if plus else {})}
    return AWESOME if kind == "awesome" else {}


def choose_features(kind: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The word features; one-hot words where there are no others."""
    others = {name: chosen.get(name) or ([] if name == "lexicon" else False) for name in FEATURES[1:]}
    wanted = [name for name, value in others.items() if value]
    if kind in ONE_HOT_ONLY and (wanted or chosen.get("one_hot") is False):
        option = spelled(wanted[0]) if wanted else spelled("one_hot", False)
        raise InputError(f"{option} does not go with a model of kind {kind}, whose words are one-hot")
    if others["finetune"] and not others["lexicon"]:
        raise InputError("--finetune needs --lexicon: it is pretrained vectors that are tuned")
    one_hot = chosen.get("one_hot")
    if one_hot is False and not wanted:
        raise InputError("--no_one_hot: then there are no word features left")
    return dict(one_hot=not wanted if one_hot is None else one_hot, **others)


def choose_sizes(kind: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the model's constructor; `--rnn_dim 0` may be said of any."""
    sizes = {name: chosen[name] for name in SIZES if name in chosen}
    if kind not in NEURAL and sizes.get("rnn_dim") == 0:
        del sizes["rnn_dim"]
    for name, value in sizes.items():
        if kind not in SIZES[name]:
            raise InputError(
                f"{spelled(name, value)} does not go with a model of kind {kind} (but with {', '.join(SIZES[name])})"
            )
    if kind in NEURAL and sizes.get("tag_dim") == 0:
        raise InputError(f"--tag_dim 0 does not go with a model of kind {kind}, which knows tags by it alone")
    return sizes


def compose_recipe(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The groups of --recipe, and that of --finetune_lr and --finetune_from."""
    recipe = list(args.recipe or [])
    if given(args, *FINETUNE):
        recipe.append(
            dict(
                name="vectors", lr=args.finetune_lr, weight_decay=0.0, from_epoch=args.finetune_from or 1, to_epoch=None
            )
        )
        check_overlap([group["name"] for group in recipe], "--recipe beside --finetune_lr or --finetune_from")
    return recipe


def require_init(args: argparse.Namespace, kind: str, features: Mapping[str, Any], settings: Mapping) -> float:
    """The lambda of the HMM that --init hmm counts. Raises InputError where there can be none."""
    if kind not in STATIONARY:
        raise InputError(f"--init hmm does not go with a model of kind {kind} (but with {', '.join(STATIONARY)})")
    if any(features[name] for name in FEATURES[1:]):
        raise InputError("--init hmm needs words that are one-hot and nothing else")
    if args.checkpoint:
        raise InputError("--init hmm does not go with --checkpoint: there is a model to begin with")
    if args.smoothing == 0:
        raise InputError("--init hmm needs a --lambda above 0: the logarithm of 0 is no weight")
    return settings.get("smoothing") or Settings.smoothing


def require_states(kind: str, features: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise InputError where anonymous states make no sense."""
    if kind not in HMMS:
        raise InputError(f"--states does not go with a model of kind {kind} (but with {', '.join(HMMS)})")
    if features["problex"]:
        raise InputError("--states does not go with --problex, which counts tags")
    if settings.get("loss") == "viterbi_error":
        raise InputError("--states does not go with --loss viterbi_error: anonymous states have no errors")


def default_name(kind: str, train: list[str], features: Mapping[str, Any]) -> str:
    """A model file's name, made of the kind, the corpora and the word features that were asked for."""
    parts = [Path(name).stem for name in features.get("lexicon", [])]
    flags = [spelled(name, value)[2:] for name, value in features.items() if name not in ("one_hot", "lexicon")]
    one_hot = ["one_hot"] if features.get("one_hot") and (parts or flags) else []
    return "_".join([kind, "+".join(Path(name).name for name in train), *one_hot, *parts, *flags]) + ".model"


def never_read(args: argparse.Namespace, plan: Plan) -> list[str]:
    """The settings of training that were given, and that this kind of model has no use for."""
    gradient = tagger_class(plan.kind).trained_by == "gradient"
    unused = () if plan.init else ("smoothing",)
    return [spelled(name) for name in given(args, *(unused if gradient else OF_GRADIENT))]


def without_effect(args: argparse.Namespace, done: Mapping[str, Any], but: Collection[str] = ()) -> list[str]:
    """The options about training that were given, and say otherwise than what is settled already.

    Args:
        done: a plan as a dict, or what a model file holds of it.
        but: those that are not looked at.
    """
    settled = {**done, **done.get("sizes", {}), **done.get("settings", {})}
    asked = given(args, "train", "dev", "init", "states", *FEATURES, *SIZES, *SETTINGS)
    unlike = {
        name: value for name, value in asked.items() if name not in ("recipe", *but) and settled.get(name) != value
    }
    recipe = compose_recipe(args)
    if recipe and settled.get("recipe") != recipe:
        unlike.update(given(args, "recipe", *FINETUNE))
    return [spelled(name, value) for name, value in unlike.items()]
