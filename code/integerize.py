"""Numbers for strings: words and tags become the row numbers of parameter matrices, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


class Integerizer:
    """A set of strings, numbered 0, 1, 2, ... in the order in which they were first added.

    >>> tags = Integerizer(["N", "V"])
    >>> tags.add("D"), tags.add("N"), tags[1], tags.index("X"), len(tags)
    (2, 0, 'V', None, 3)
    """

    def __init__(self, items: Iterable[str] = ()):
        self._items: list[str] = []
        self._index: dict[str, int] = {}
        for item in items:
            self.add(item)

    def add(self, item: str) -> int:
        """The number of `item`, which is given the next free one if it has none."""
        index = self._index.setdefault(item, len(self._items))
        if index == len(self._items):
            self._items.append(item)
        return index

    def index(self, item: str) -> int | None:
        """The number of `item`, or None."""
        return self._index.get(item)

    def __getitem__(self, index: int) -> str:
        return self._items[index]

    def __contains__(self, item: object) -> bool:
        return item in self._index

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)
