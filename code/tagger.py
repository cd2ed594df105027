"""The base class of all models: a batch of sentences in, a distribution over their taggings (chain.LinearChain) out.

A model file is a safetensors file: the weights, and in its header, as JSON, all else that makes the model (kind,
tagset, words, sizes). Loading one runs none of its maker's code.
"""

from __future__ import annotations

import importlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from chain import LinearChain
from corpus import Batch, InputError
from integerize import Integerizer
from lexicon import Lexicon

VERSION = 1
FORMAT = "neuralization"
KINDS = {
    "hmm": "hmm.HiddenMarkovModel",
    "hmm_neural": "hmm_neural.HiddenMarkovModelNeural",
    "crf": "crf.ConditionalRandomField",
    "crf_backprop": "crf_backprop.ConditionalRandomFieldBackprop",
    "crf_neural": "crf_neural.ConditionalRandomFieldNeural",
    "crf_extended": "crf_extended.ConditionalRandomFieldExtended",
    "awesome": "crf_extended.Awesome",
    "crf_blstm": "crf_blstm.ConditionalRandomFieldBLSTM",
    "local_cnn": "local.LocalCNN",
    "local_blstm": "local.LocalBLSTM",
    "local_seq2seq": "local.LocalSeq2Seq",
}


def tagger_class(kind: str) -> type[Tagger]:
    """The class of a kind of model, imported when first asked for."""
    module, name = KINDS[kind].split(".")
    return getattr(importlib.import_module(module), name)


class Tagger(nn.Module):
    """A model of taggings.

    Args:
        tagset: the tags by number.
        lexicon: the word features.
        sizes: what else its constructor was given; kept for the model file.
    """

    kind: ClassVar[str]
    generative: ClassVar[bool] = False  # whether the chain scores the words too
    trained_by: ClassVar[str] = "gradient"  # or "counts"

    def __init__(self, tagset: Integerizer, lexicon: Lexicon, **sizes: Any):
        super().__init__()
        self.tagset, self.lexicon, self.sizes = tagset, lexicon, sizes
        self.more: dict[str, Any] = {}  # what `save` was told to remember

    def forward(self, batch: Batch) -> LinearChain:
        """The distribution over the taggings of each sentence."""
        raise NotImplementedError(f"{type(self).__name__} does not define its chain")

    def logprob(self, batch: Batch) -> Float[Tensor, "B"]:
        """log p(tags | words) of each sentence, in nats; of a generative model, log p(tags, words).

        Where a tag is -1, that of all it could be: where none is observed, log p(words) for a generative model, and 0
        for others.
        """
        chain = self(batch)
        score = chain.log_partition if batch.tags is None else chain.score(batch.tags, partial=True)
        if self.generative:
            return score
        observed = torch.zeros_like(chain.mask) if batch.tags is None else batch.tags >= 0
        # of two sums that are equal but for rounding, AdamW would make a step as long as any
        return torch.where(observed.any(dim=1), score - chain.log_partition, 0.0)

    def add_gradient(self, batch: Batch, reg: float, N: int) -> float:
        """Add to each parameter's `grad` that of the loss, mean of -logprob + reg |theta|^2 / N; return the loss.

        Args:
            reg: the weight of the L2 regularizer.
            N: number of training sentences.
        """
        raise NotImplementedError(f"{type(self).__name__} is not trained by gradient")

    def gradients(self, batch: Batch, reg: float, N: int) -> Iterator[float]:
        """The same for each of the steps that are taken on a minibatch, one after the other: here a single one."""
        yield self.add_gradient(batch, reg, N)

    def squared_norm(self) -> Float[Tensor, ""]:
        """|theta|^2 over all parameters."""
        return sum(
            (parameter.square().sum() for parameter in self.parameters()),
            start=torch.zeros((), device=next(self.parameters()).device),
        )

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    def save(self, path: str | Path, **more: Any) -> None:
        """Write the model, whole or not at all; `more` comes back as `tagger.more`."""
        header = dict(
            version=VERSION,
            kind=self.kind,
            tagset=list(self.tagset),
            sizes=self.sizes,
            lexicon=self.lexicon.config(),
            more=more,
        )
        write_tensors(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: str | Path) -> Tagger:
        """Read a model of any kind.

        Raises:
            InputError: the file is missing, or is no model that `save` wrote.
        """
        header, tensors = read_tensors(path)
        try:
            if header["version"] != VERSION:
                raise InputError(f"{path}: a model file of version {header['version']}, this program reads {VERSION}")
            if not all(isinstance(tag, str) for tag in header["tagset"]):
                raise TypeError("a tag is no string")
            with torch.device("meta"):  # shapes without memory: a header may claim any size
                claimed = {name: tensor.shape for name, tensor in cls._from_header(header).state_dict().items()}
            wrong = [
                name
                for name in {**claimed, **tensors}
                if claimed.get(name) != getattr(tensors.get(name), "shape", None)
            ]
            if wrong:
                raise ValueError(f"its header and its tensor {wrong[0]} do not agree")
            tagger = cls._from_header(header)
            tagger.load_state_dict(tensors)
            tagger.more = dict(header["more"])
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{path}: not a model file: {type(error).__name__}: {str(error).splitlines()[0]}"
            ) from None
        return tagger.eval()

    @staticmethod
    def _from_header(header: Mapping[str, Any]) -> Tagger:
        """The model that a file's header describes, its tensors not yet loaded."""
        lexicon = Lexicon.from_config(header["lexicon"])
        return tagger_class(header["kind"])(Integerizer(header["tagset"]), lexicon, **header["sizes"])


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """A safetensors file that appears under its name only when it is complete.

    Raises:
        InputError: it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, partial, {FORMAT: json.dumps(header)})
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be written: {error}") from None
    finally:
        partial.unlink(missing_ok=True)


def read_tensors(path: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The header and the tensors of a file that `write_tensors` wrote.

    Raises:
        InputError: the file is missing, a pickle, or not of this format.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            beginning = file.read(8)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if beginning.startswith((b"PK\x03\x04", b"\x80")) and not _plausible_length(beginning, path):
        raise InputError(
            f"{path}: a pickle or a zip archive: not opened, as it could run any code; a model is safetensors"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[FORMAT])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, KeyError, ValueError, OSError, RuntimeError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path}: not a model file: {type(error).__name__}: {problem}") from None
    if not isinstance(header, dict):
        raise InputError(f"{path}: not a model file: its header is no object")
    return header, tensors


def _plausible_length(beginning: bytes, path: Path) -> bool:
    """Whether the first 8 bytes can be the length of a safetensors header in this file."""
    return len(beginning) == 8 and struct.unpack("<Q", beginning)[0] < path.stat().st_size
