"""Training recipes: groups of parameters that learn at their own rate, decay, and only in some epochs (section 4).

A recipe is a TOML file, a table for each group that shall not simply follow the command line:

    [[group]]
    name = "vectors"        # the fine-tuned part of pretrained word vectors (H.1)
    lr = 0.001              # its learning rate at its highest, in place of --lr; it rises and falls with the others
    weight_decay = 0.01     # decoupled, as AdamW has it: each step multiplies by 1 - rate * weight_decay
    from_epoch = 5          # frozen before this epoch (they count from 1)
    to_epoch = 20           # and after this one

All but the name may be left out. A frozen parameter does not move at all: no gradient, no decay, no regularizer.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from corpus import InputError, read_lines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What the parameters of all models are called, by the beginning of their names. A parameter is in one group, and those
# of the fine-tuned vectors in two.
GROUPS: dict[str, tuple[str, str]] = {
    "lexicon": (r"lexicon\.", "all that is trained of the word features"),
    "vectors": (r"lexicon\.blocks\.\d+\.delta$", "of these, what --finetune adds to pretrained vectors"),
    "rnn": (r"(M|M_)$|encoder\.|network\.(?!output\.)", "M and M' of eq. 46, or what stands in their place"),
    "transitions": (
        r"(start|trans|stop|Theta_A|Theta_A_|before|after|bias|U_A|theta_A)$",
        "W^A or what it is made of; U^A and theta^A (eqs. 45, 47)",
    ),
    "emissions": (
        r"(emission|theta|gamma|projection|U_B|theta_B|W)$|network\.output\.",
        "W^B or what it is made of; U^B and theta^B (eqs. 45, 48); weights outside sigma",
    ),
    "tags": (r"tags$", "tag embeddings of eqs. 47 and 48"),
}


@dataclass(frozen=True)
class Group:
    """How a group of parameters is trained.

    Attributes:
        name: one of GROUPS.
        lr: its learning rate at its highest; None for that of the command line.
        weight_decay: decoupled decay.
        from_epoch, to_epoch: the first and the last epoch in which it learns; None for no last one.
    """

    name: str
    lr: float | None = None
    weight_decay: float = 0.0
    from_epoch: int = 1
    to_epoch: int | None = None

    def learns(self, epoch: int) -> bool:
        """Whether it is not frozen in this epoch, counted from 1."""
        return self.from_epoch <= epoch and (self.to_epoch is None or epoch <= self.to_epoch)


def members(name: str, parameters: Sequence[str]) -> list[str]:
    """The names of those parameters that are in a group."""
    return [parameter for parameter in parameters if re.match(GROUPS[name][0], parameter)]


def read_recipe(path: str | Path) -> list[dict[str, Any]]:
    """The groups of a recipe file, as plain values that `Group` takes.

    Raises:
        InputError: no such file, no TOML, or what it says is no recipe; with file and, of bad TOML, line.
    """
    try:
        content = tomllib.loads("\n".join(read_lines(path)))
    except tomllib.TOMLDecodeError as error:
        problem, _, where = str(error).partition(" (at ")
        line = re.match(r"line (\d+)", where)
        raise InputError(f"{path}:{line[1] + ':' if line else ''} no TOML: {problem}") from None
    unknown = sorted(set(content) - {"group"})
    if unknown:
        raise InputError(f"{path}: unknown key {unknown[0]!r}; a recipe is a list of [[group]] tables")
    groups = content.get("group")
    if not isinstance(groups, list) or not groups or not all(isinstance(group, dict) for group in groups):
        raise InputError(f"{path}: no [[group]] table in it")
    for number, group in enumerate(groups, start=1):
        _check(group, f"{path}: group {number}")
    check_overlap([group["name"] for group in groups], str(path))
    return [asdict(Group(**group)) for group in groups]


def _check(group: Mapping[str, Any], where: str) -> None:
    """Raise InputError if a table is no group."""
    keys = list(Group.__dataclass_fields__)
    for key in group:
        if key not in keys:
            raise InputError(f"{where}: unknown key {key!r}; there are {', '.join(keys)}")
    name = group.get("name")
    if not isinstance(name, str) or name not in GROUPS:
        given = "it has no name" if name is None else f"there is no group {name!r}"
        raise InputError(f"{where}: {given}; the groups are {', '.join(GROUPS)}")
    for key in ("lr", "weight_decay"):
        value = group.get(key, 0.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1e6:
            raise InputError(f"{where}: {key} = {value!r} is no number from 0 to 1e6")
    for key, least in (("from_epoch", 1), ("to_epoch", group.get("from_epoch", 1))):
        value = group.get(key, math.inf)
        if value is not math.inf and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise InputError(f"{where}: {key} = {value!r} is no whole number from {least} on")


def check_overlap(names: Sequence[str], where: str) -> None:
    """Raise InputError if a parameter would be in two of these groups."""
    for position, name in enumerate(names):
        if name in names[:position]:
            raise InputError(f"{where}: group {name!r} twice")
    if "lexicon" in names and "vectors" in names:
        raise InputError(f"{where}: groups 'lexicon' and 'vectors' overlap: 'vectors' is a part of 'lexicon'")


def parameter_groups(model: nn.Module, recipe: Sequence[Mapping[str, Any]], lr: float) -> list[dict[str, Any]]:
    """The parameters as an optimizer takes them: a dict for each group of the recipe, then one for the rest.

    Beside the optimizer's own keys each has `peak`, its highest learning rate, and `group`, when it learns.

    Args:
        lr: the learning rate of what the recipe does not name, or gives none.

    Raises:
        InputError: the model has no parameter of a group.
    """
    parameters = dict(model.named_parameters())
    groups = []
    for group in (Group(**each) for each in recipe):
        names = members(group.name, list(parameters))
        if not names:
            raise InputError(f"recipe: group {group.name!r}: this model has no such parameter")
        peak = lr if group.lr is None else group.lr
        own = [parameters.pop(name) for name in names]
        groups.append(dict(params=own, lr=peak, peak=peak, weight_decay=group.weight_decay, group=group))
    rest = dict(params=list(parameters.values()), lr=lr, peak=lr, weight_decay=0.0, group=Group("rest"))
    return [*groups, rest] if parameters else groups
