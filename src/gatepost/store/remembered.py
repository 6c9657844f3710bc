"""What was read from the store and is good until a configuration row changes."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

K = TypeVar("K")
V = TypeVar("V")

CACHE = 50_000  # entries of each kind; beyond that the cache starts anew


class Dated(Protocol):
    """What tells how old something is: a store, or what commits its changes."""

    @property
    def generation(self) -> int: ...

    @property
    def revision(self) -> int: ...


class Remembered:
    """Caches that are emptied together, for the loop's thread alone.

    What is read at one generation of the store is good until the next; `exact`: until the next revision as well, for
    what shows the quiet columns too, and may be made of what is not exact. A write is answered after both have grown,
    so that whoever waited for it meets no older answer.
    With `absent` None is kept as well; else it is read each time, where keys are whatever strangers ask for.
    """

    def __init__(self, store: Dated, *, most: int = CACHE, exact: bool = False, absent: bool = True) -> None:
        self._store = store
        self._most = most
        self._exact = exact
        self._absent = absent
        self._at = -1
        self._caches: list[dict[Any, Any]] = []

    def cache(self) -> dict[Any, Any]:
        """Return a new cache, to be read by `known` alone."""
        self._caches.append({})
        return self._caches[-1]

    def known(self, cache: dict[K, V], key: K, read: Callable[[], V]) -> V:
        """Return what a cache holds, or what `read` brings."""
        now = self._store.generation + (self._store.revision if self._exact else 0)  # neither ever shrinks
        if self._at != now:
            self._at = now
            for each in self._caches:
                each.clear()
        if key not in cache:
            if len(cache) >= self._most:
                cache.clear()
            found = read()
            if self._at != now:  # within it, something newer was asked for
                return found
            if found is None and not self._absent:
                return found
            cache[key] = found
        return cache[key]
