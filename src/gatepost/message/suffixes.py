"""Public suffixes, under which strangers register domains of their own: looked up in the list of publicsuffixlist.

That library would take longer to read its list than all else that a worker begins with.
"""

import re
from functools import cache
from pathlib import Path

from publicsuffixlist import PSLFILE

_RULE = re.compile(r"^(?!//)\S+", re.MULTILINE)


@cache
def _rules() -> frozenset[str]:
    listed = _RULE.findall(Path(PSLFILE).read_text("utf-8").lower())
    return frozenset((*listed, *(rule.encode("idna").decode("ascii") for rule in listed if not rule.isascii())))


def known(labels: list[str]) -> int:
    """Return how many labels the public suffix at the end of a name has, 0 where no rule tells."""
    rules = _rules()
    for at in range(len(labels)):
        name = ".".join(labels[at:])
        if f"!{name}" in rules:
            return len(labels) - at - 1
        if f"*.{name}" in rules:  # of which the name itself is one, too
            return len(labels) - at + (at > 0)
        if name in rules:
            return len(labels) - at
    return 0


def private(host: str) -> str | None:
    """Return the shortest name above a public suffix, at which a host lies; a last label that no rule knows is one."""
    labels = host.removesuffix(".").lower().split(".")
    public = known(labels) or 1
    return ".".join(labels[-public - 1 :]) if "" not in labels and len(labels) > public else None
