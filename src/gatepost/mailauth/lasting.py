"""Remembers what was made of answers of DNS for as long as those answers are good."""

import sys
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from gatepost.dns import Resolver

REMEMBERED = 2000  # results of one kind
NEVER = sys.maxsize

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Asked:
    """A resolver that is asked for one result; `until` is when the first of its answers is to be asked for again.

    Epoch milliseconds; 0 where one of them is not kept, NEVER where nothing was asked.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self.until = NEVER

    async def txt(self, name: str) -> list[bytes]:
        try:
            return await self._resolver.txt(name)
        finally:
            self._heard(name, "TXT")

    async def mx_hosts(self, name: str) -> list[str]:
        try:
            return [mx.host for mx in await self._resolver.mx(name)]
        finally:
            self._heard(name, "MX")

    async def names(self, name: str) -> list[str]:
        try:
            return await self._resolver.names(name)
        finally:
            self._heard(name, "PTR")

    async def ipv4(self, name: str) -> list[str]:
        try:
            return await self._resolver.ipv4(name)
        finally:
            self._heard(name, "A")

    async def ipv6(self, name: str) -> list[str]:
        try:
            return await self._resolver.ipv6(name)
        finally:
            self._heard(name, "AAAA")

    async def addresses(self, host: str) -> list[str]:
        try:
            return await self._resolver.addresses(host)
        finally:
            self._heard(host, "A")
            self._heard(host, "AAAA")

    def _heard(self, name: str, kind: str) -> None:
        self.until = min(self.until, self._resolver.good_until(name, kind))


class _Found(NamedTuple, Generic[V]):
    found: V
    until: int


class Lasting(Generic[K, V]):
    """Results by what was asked about; the oldest go first."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._known: OrderedDict[K, _Found[V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return what is still good, None where there is nothing."""
        known = self._known.get(key)
        return None if known is None or self._resolver.is_past(known.until) else known.found

    def keep(self, key: K, found: V, until: int) -> None:
        """Remember a result until its answers are to be asked for again; 0, or no answer at all: not remembered."""
        if 0 < until < NEVER:
            self._known[key] = _Found(found, until)
            self._known.move_to_end(key)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
