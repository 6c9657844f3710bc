"""DKIM keys of a domain, and which of them signs (RFC 6376, RFC 8463)."""

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

SELECTOR = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")


class Algorithm(StrEnum):
    RSA = "rsa"
    ED25519 = "ed25519"


class DkimKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One key of a domain; it signs for each of the domain's names.

    `public` is what the record's p= holds; `private` is sealed (`store` never sees it in clear); `seen` are the names
    under which the record stood in DNS when last looked for. Of several keys of one algorithm the later replaces the
    earlier; it is `waiting` until its record is seen under every name.
    """

    id: int = 0
    domain_id: int
    selector: str
    algorithm: Algorithm = Algorithm.RSA
    public: str
    private: str
    seen: list[str] = []
    waiting: bool = False
    created_at: int

    @property
    def record(self) -> str:
        """The text of the TXT record."""
        kind = "" if self.algorithm is Algorithm.RSA else f"k={self.algorithm.value}; "
        return f"v=DKIM1; {kind}p={self.public}"

    def place(self, name: str) -> str:
        """Return where the record stands for one of the domain's names."""
        return f"{self.selector}._domainkey.{name}"

    def line(self, name: str) -> str:
        """Return the record to publish for a name, as answers show it (contract 5.6)."""
        return f"{self.place(name)} TXT {self.record}"


def of_algorithm(keys: Sequence[DkimKey], algorithm: Algorithm) -> list[DkimKey]:
    """Return a domain's keys of one algorithm, the earliest first."""
    return sorted((key for key in keys if key.algorithm is algorithm), key=lambda key: key.id)


def signers(keys: Sequence[DkimKey], name: str) -> list[DkimKey]:
    """Return the keys that sign for a name, one of each algorithm.

    A replacement signs from when its record is seen; until then the key before it does.
    """
    chosen = []
    for algorithm in Algorithm:
        if known := of_algorithm(keys, algorithm):
            chosen.append(next((key for key in reversed(known) if name in key.seen), known[0]))
    return chosen


def superseded(keys: Sequence[DkimKey], names: Sequence[str]) -> list[DkimKey]:
    """Return the keys that sign no more: a later one of their algorithm was seen under every name."""
    gone = []
    for algorithm in Algorithm:
        known = of_algorithm(keys, algorithm)
        whole = [key.id for key in known if set(names) <= set(key.seen)]
        gone += [key for key in known if whole and key.id < whole[-1]]
    return gone
