"""Texts that came a moment ago: what a list, a campaign or a wave of spam brings again and again is read once."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

LONGEST = 65_536
"""Octets, or characters, of a text that is remembered; longer ones are rarely the same and are read each time."""

_OCTETS = 1_000_000
_ENTRY = 500  # what an entry takes beside its text

K = TypeVar("K", bound=bytes | str)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A pure function of a text, with what it made of those that came last.

    Holds about `octets` of texts and of what was made of them, by `weight`; the oldest goes first. What the function
    returns is shared and must not be changed; None is no result. Threads may ask at once, as the loop and who fills the
    index of words do.
    """

    def __init__(
        self, make: Callable[[K], V], *, weight: Callable[[V], int] = lambda made: 0, octets: int = _OCTETS
    ) -> None:
        self._make = make
        self._weight = weight
        self._known: dict[K, tuple[V, int]] = {}  # with what each takes
        self._left = octets
        self._keeping = threading.Lock()

    def __call__(self, text: K) -> V:
        if len(text) > LONGEST:
            return self._make(text)
        known = self._known.get(text)
        if known is not None:
            return known[0]
        made = self._make(text)
        with self._keeping:
            self._keep(text, made)
        return made

    def _keep(self, text: K, made: V) -> None:
        if text in self._known:  # another thread was quicker
            return
        size = len(text) + self._weight(made) + _ENTRY
        self._known[text] = made, size
        self._left -= size
        while self._left < 0:
            self._left += self._known.pop(next(iter(self._known)))[1]
