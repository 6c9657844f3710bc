"""Long lists that are sorted as a whole once, for all their pages, and kept as long as they are the same."""

from array import array
from collections.abc import Callable, Hashable, Iterable
from threading import Lock

import msgspec

from gatepost.model.query import Query

KEPT = 1_000_000  # ids, 8 octets each
NEAR = 1000  # rows from either end, up to which a window is sooner found by itself


class Listed(msgspec.Struct, frozen=True):
    """The state of a list: how long it is, and a mark that it bears in this state alone."""

    total: int
    mark: Hashable


class Orders:
    """Ids in order, by the list's name; for several threads. What was not asked for longest goes first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[Hashable, tuple[Hashable, array[int]]] = {}

    def window(
        self, name: Hashable, listed: Listed, query: Query, sort: Callable[[], Iterable[tuple[int]]]
    ) -> list[int] | None:
        """Return the ids of the query's window; None where nobody sorted the list, nor is it worth the while.

        A list that is too long to be kept is never sorted as a whole: it would be for each page.
        """
        ids = self._known(name, listed.mark)
        end = listed.total if query.limit is None else min(query.offset + query.limit, listed.total)
        if ids is None:
            if listed.total > KEPT or min(query.offset, listed.total - end) < NEAR:
                return None
            ids = array("q", (id for (id,) in sort()))
            self._keep(name, listed.mark, ids)
        return ids[query.offset : end].tolist()

    def _known(self, name: Hashable, mark: Hashable) -> "array[int] | None":
        with self._lock:
            kept = self._kept.pop(name, None)
            if kept is None or kept[0] != mark:
                return None
            self._kept[name] = kept
            return kept[1]

    def _keep(self, name: Hashable, mark: Hashable, ids: "array[int]") -> None:
        with self._lock:
            self._kept[name] = (mark, ids)
            while sum(len(each) for _, each in self._kept.values()) > KEPT:
                del self._kept[next(iter(self._kept))]
