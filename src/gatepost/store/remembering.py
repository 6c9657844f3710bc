"""A reader that keeps the rows of configuration it was asked for until one changes: a look-up costs system calls."""

from collections.abc import Callable
from typing import Any, TypeVar

from gatepost.model.query import Condition
from gatepost.model.tenant import Domain
from gatepost.store.reader import Reader
from gatepost.store.schema import table

T = TypeVar("T")

KEPT = 10_000  # rows; beyond that it starts anew


class Remembering(Reader):
    """The loop's own reader. What isn't there is asked for each time, so that guesses fill no memory."""

    def __init__(self, *given: Any, revision: Callable[[], int]) -> None:
        """`revision` grows with each commit that changes a row of configuration."""
        super().__init__(*given)
        self._revision = revision
        self._read_at = -1
        self._kept: dict[object, Any] = {}

    def get(self, kind: type[T], id: int | str) -> T | None:
        found: T | None = self._known(kind, (kind, id), lambda: super(Remembering, self).get(kind, id))
        return found

    def first(self, kind: type[T], where: Condition) -> T | None:
        found: T | None = self._known(kind, (kind, where), lambda: super(Remembering, self).first(kind, where))
        return found

    def domain(self, name: str) -> Domain | None:
        found: Domain | None = self._known(Domain, (Domain, "", name), lambda: super(Remembering, self).domain(name))
        return found

    def _known(self, kind: type[Any], key: object, read: Callable[[], Any]) -> Any:
        if not table(kind).config:
            return read()
        revision = self._revision()  # taken before the row is read: a commit in between makes it old at once
        if revision != self._read_at or len(self._kept) >= KEPT:
            self._read_at = revision
            self._kept.clear()
        try:
            row = self._kept.get(key)
        except TypeError:  # a condition with a list in it
            return read()
        if row is None:
            row = read()
            if row is not None:
                self._kept[key] = row
        return row
