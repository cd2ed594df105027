"""Which option of tag.py belongs to which kind of model; our defaults, tuned on endev, and the homework's."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from training import Settings

HMMS = ("hmm", "hmm_neural")
STATIONARY = ("crf", "crf_backprop")
EXTENDED = ("crf_extended", "awesome")
NEURAL = ("crf_neural", *EXTENDED)
LSTMS = ("crf_blstm", "local_blstm", "local_seq2seq")
NETWORKS = (*LSTMS, "local_cnn")

# Options that are arguments of a model's constructor, under the same name, and the kinds that have them.
SIZES: dict[str, tuple[str, ...]] = {
    "unigram": (*HMMS, *STATIONARY, *EXTENDED),
    "word_dim": ("hmm_neural",),
    "gem_steps": ("hmm_neural",),
    "tag_rank": STATIONARY[1:],
    "tag_form": STATIONARY[1:],
    "rnn_dim": NEURAL,
    "transition_features": NEURAL,
    "emission_features": NEURAL,
    "tag_dim": (*NEURAL, "hmm_neural"),
    "potentials": EXTENDED,
    "window": (*EXTENDED, "local_cnn"),
    "boundary": EXTENDED,
    "rnn": EXTENDED,
    "layers": (*EXTENDED, *LSTMS),
    "outside": EXTENDED,
    "dropout": EXTENDED,
    "hidden": NETWORKS,
    "plus": NETWORKS,
}
# Options that are word features. The words of an hmm and of a crf are one-hot.
FEATURES = ("one_hot", "lexicon", "problex", "affixes", "characters", "finetune")
ONE_HOT_ONLY = ("hmm", "crf")
# How to train; `recipe` is composed of these and --recipe.
SETTINGS = tuple(field.name for field in fields(Settings))
FINETUNE = ("finetune_lr", "finetune_from")

# Tuned on endev: see writeup/experiments. A name that is missing here has the default of training.Settings.
TUNED: dict[str, dict[str, Any]] = {
    "hmm": dict(),
    "hmm_neural": dict(optimizer="adamw", lr=0.02, max_steps=60_000),
    "crf": dict(optimizer="adamw", lr=0.1, max_steps=60_000),
    "crf_backprop": dict(optimizer="adamw", lr=0.1, max_steps=60_000),
    "crf_neural": dict(optimizer="adamw", lr=0.02, max_steps=90_000, reg=1.0),
    "crf_extended": dict(optimizer="adamw", lr=0.02, max_steps=90_000, reg=1.0),
    "awesome": dict(optimizer="adamw", lr=0.003, max_steps=160_000, eval_interval=10_000, patience=16, reg=0.1),
    **{kind: dict(optimizer="adamw", lr=0.005, max_steps=90_000, reg=1.0) for kind in NETWORKS},
}
# The word features and sizes of --awesome; options that are given go before them.
AWESOME: dict[str, Any] = dict(
    lexicon=["words-50.txt", "syntax-50.txt"], problex=True, affixes=True, characters=True,
    rnn="lstm", rnn_dim=100, potentials="emission_mlp", emission_features=128, outside=True, dropout=0.3,
)  # fmt: skip
# The word features of the networks of Tu and Gimpel, and what --plus adds.
WORD_VECTORS: dict[str, Any] = dict(lexicon=["words-50.txt"])
PLUS: dict[str, Any] = dict(characters=True, finetune=True)
HOMEWORK = dict(
    lr=0.05, batch_size=30, max_steps=50_000, eval_interval=2_000, tolerance=1e-3, patience=1, smoothing=0.0,
    schedule="constant", warmup=0.0, clip=0.0,
)  # fmt: skip
