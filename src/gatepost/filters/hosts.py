"""Finds rules about hosts: a host or a domain above it; indexes of rule sets are made once, not for each mail."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from gatepost.model.rules import UriRule

KEPT = 256  # rule sets whose index is kept

T = TypeVar("T")


class Indexed(Generic[T]):
    """Rule sets turned into what is quick to look up in; the directory hands out one tuple for a domain."""

    def __init__(self, make: Callable[[Sequence[UriRule]], T]) -> None:
        self._make = make
        self._kept: OrderedDict[int, tuple[Sequence[UriRule], T]] = OrderedDict()

    def of(self, rules: Sequence[UriRule]) -> T:
        """Return the index of a rule set, so that a look-up does not grow with it (threat 61)."""
        kept = self._kept.get(id(rules))
        if kept is None or kept[0] is not rules:
            kept = (rules, self._make(rules))
            self._kept[id(rules)] = kept
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return kept[1]


def named(text: str) -> str:
    """Return the host that a rule or a line of a list names, whose subdomains it means too."""
    return text.lower().strip(".").removeprefix("*.")


def upwards(host: str) -> Iterator[str]:
    """Yield a host and every domain above it; an address has nothing above it."""
    yield host
    if not host.replace(".", "").isdigit():
        at = host.find(".")
        while at >= 0:
            yield host[at + 1 :]
            at = host.find(".", at + 1)


def is_address(host: str) -> bool:
    """Tell whether a host, in the form that links have, is an IP address."""
    return ":" in host or host.replace(".", "").isdigit()
