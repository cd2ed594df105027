"""Where a training stands: what the loop of training.py must know to go on as if it had not been interrupted."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from corpus import InputError
from tagger import read_tensors, write_tensors


@dataclass
class State:
    """Where training stands: plain values, and tensors by name. The first six values begin anew with each attempt."""

    sentences: int = 0
    epoch: int = 0
    next_evaluation: int = 0
    since_best: int = 0
    best_loss: float = math.inf
    order_sizes: list[int] = field(default_factory=list)
    attempt: int = 0
    winner_loss: float = math.inf
    seconds: float = 0.0
    step_seconds: float = 0.0
    tokens: int = 0
    epochs: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def next_attempt(self) -> State:
        """The state in which another attempt begins."""
        fresh = State()
        return replace(
            self,
            **{name: getattr(fresh, name) for name in list(asdict(fresh))[:6]},
            attempt=self.attempt + 1,
            tensors=self.part("winner", keep_name=True),
        )

    def part(self, name: str, keep_name: bool = False) -> dict[str, Tensor]:
        """The tensors whose names begin with `name.`, under the rest of their names."""
        skip = 0 if keep_name else len(name) + 1
        return {full[skip:]: tensor for full, tensor in self.tensors.items() if full.startswith(name + ".")}

    def put(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Keep copies of tensors under names that begin with `name.`, in place of those that were."""
        self.tensors = {full: tensor for full, tensor in self.tensors.items() if not full.startswith(name + ".")}
        self.tensors.update({f"{name}.{key}": tensor.detach().cpu().clone() for key, tensor in tensors.items()})

    def save(self, path: str | Path, **more: Any) -> None:
        """Write a checkpoint, whole or not at all; `more` comes back with `load`."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "tensors"}
        write_tensors(path, self.tensors, {"checkpoint": values, "more": more})

    @classmethod
    def load(cls, path: str | Path) -> tuple[State, dict[str, Any]]:
        """Read a checkpoint and what was saved with it. Raises InputError if the file is none."""
        header, tensors = read_tensors(path)
        try:
            return cls(**header["checkpoint"], tensors=tensors), dict(header["more"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a checkpoint: {' '.join(str(error).split())}") from None
