"""Inference networks: a network A whose output is a relaxed tagging of low energy (Tu and Gimpel 2018; 2019, 4.1).

    A(w) = softmax(logits(w)),    trained (infnet_training.py) so that the energy E(w, A(w)) of a model is low

Once trained, it tags without the model: the tag of highest probability at each position. As its logits are a function
of the words it is a local tagger (local.py) with other aims: local_cnn, local_blstm or local_seq2seq, of the model's
tags, that reads the model's word vectors. Its file is that of such a tagger, which says what model it was trained for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from chain import LinearChain
from characters import Characters, inventory
from corpus import Batch, InputError
from decoders import Decoding
from lexicon import Lexicon
from local import LocalSeq2Seq, LocalTagger
from tagger import Tagger, tagger_class
from word_features import Pretrained
from word_vectors import WordVectors

KINDS = {"cnn": "local_cnn", "blstm": "local_blstm", "seq2seq": "local_seq2seq"}
SIZES = {"cnn": ("window",), "blstm": ("layers",), "seq2seq": ("layers", "feed")}  # those that not all have
ANNEALINGS = ("none", "linear", "exponential")
OBJECTIVES = ("energy", "cost_augmented", "joint")


@dataclass(frozen=True)
class Settings:
    """What network, and how it is trained.

    Attributes:
        network: cnn, blstm or seq2seq.
        hidden, layers, window, plus: its sizes, see local.py.
        feed: what a seq2seq network reads of the label before, see networks.py.
        weight: lambda, of the token loss beside the energy.
        annealing: how lambda falls from epoch to epoch, see infnet_training.annealed.
        objective: energy, or one of margin.py.
        lr, max_steps: of the optimizer; steps count sentences.
        train: the training corpora, where they are not those of the model.
    """

    network: str = "cnn"
    hidden: int = 100
    layers: int = 1
    window: int = 1
    plus: bool = False
    feed: str = "argmax"
    weight: float = 1.0
    annealing: str = "none"
    objective: str = "energy"
    lr: float = 0.005
    max_steps: int = 90_000
    seed: int = 0
    train: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Made of what is not as it is by default; different settings have different names."""
        parts = [self.network]
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                text = "+".join(Path(name).name for name in value) if field.name == "train" else f"{value}"
                parts.append(field.name if value is True else f"{field.name}={text}")
        return "_".join(parts)


@torch.no_grad()
def infnet(
    tagger: Tagger, batch: Batch, chain: LinearChain | None = None, *, network: LocalTagger, width: int = 1
) -> Decoding:
    """The most probable tag of each position under the network, and its probabilities as the relaxed tagging.

    It does not look at the model, which may find the tagging impossible: then its energy is +inf.

    Args:
        width: of a beam, with which a seq2seq network looks for better labels to read than its own argmax.
    """
    logits = network.logits(batch)
    # max finds the place ten times as fast as argmax does, on a CPU
    tags = logits.max(dim=2).indices.masked_fill(~batch.mask, -1)
    if width > 1:
        if not isinstance(network, LocalSeq2Seq):
            raise ValueError(f"a {network.kind} reads no labels that a beam could search")
        tags, _ = network.beam(batch, width)

    def relaxed() -> Tensor:
        return logits.softmax(dim=2).masked_fill(~batch.mask[:, :, None], 0.0)

    return Decoding(tags, (lambda: tagger(batch)) if chain is None else chain, relaxed)


# What networks are made of


def make_network(tagger: Tagger, settings: Settings, otherwise: Callable[[], Sequence[WordVectors]]) -> LocalTagger:
    """A new network for a model, its weights drawn from torch's global generator.

    Its words are known by the model's pretrained vectors alone, as they stood before fine-tuning, whatever other
    features the model has; with `plus` they are tuned anew, and there is a convolution over characters.

    Args:
        otherwise: vectors for a model that has none.

    Raises:
        ValueError: a size is out of range.
    """
    blocks = [block for block in tagger.lexicon.blocks if isinstance(block, Pretrained)]
    vectors = [WordVectors(list(block.words), block.matrix.cpu().clone()) for block in blocks] or otherwise()
    more = [Pretrained(of_file, settings.plus) for of_file in vectors]
    counts = tagger.lexicon.training_counts
    if settings.plus:
        more.append(Characters(inventory(counts)))
    lexicon = Lexicon(counts, tagger.lexicon.untagged_words, one_hot=False, more=more)
    lexicon.vocab = tagger.lexicon.vocab  # the numbers in a batch are the model's
    sizes = {name: getattr(settings, name) for name in ("hidden", "plus", *SIZES[settings.network])}
    return tagger_class(KINDS[settings.network])(tagger.tagset, lexicon, **sizes)


# Files


def fingerprint(tagger: Tagger) -> str:
    """A hash that tells this model from others."""
    digest = hashlib.sha256(f"{tagger.kind} {list(tagger.tagset)}".encode())
    for name, tensor in sorted(tagger.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save(network: LocalTagger, path: str | Path, model: str, settings: Settings, **more: Any) -> None:
    """Write the network, whole or not at all.

    Args:
        model: the fingerprint of the model that it was trained for.
    """
    network.more = dict(infnet=dict(asdict(settings), model=model), **more)
    network.save(path, **network.more)


def load(path: str | Path, tagger: Tagger, model: str) -> LocalTagger | None:
    """The network in a file; None if it was trained for another model than this, whose fingerprint is given.

    Raises:
        InputError: there is no such file, or no network in it.
    """
    network = Tagger.load(path)
    told = network.more.get("infnet")
    if not isinstance(network, LocalTagger) or not isinstance(told, dict):
        raise InputError(f"{path}: not an inference network, but a model of kind {network.kind}")
    if told.get("model") != model:
        return None
    network.lexicon.vocab = tagger.lexicon.vocab
    return network.to(next(tagger.parameters()).device)
