"""Asks whether a mail carries EICAR, the agreed test file, or a file whose SHA-256 sum is on a list."""

import re
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from gatepost.filters import registry, wording
from gatepost.filters.registry import Cost, Tools
from gatepost.filters.watched import Watched
from gatepost.message.anatomy import Anatomy
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding

# In two halves, so that this file is not the test virus itself.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"

_SUM = re.compile(r"([0-9A-Fa-f]{64})(?:[ \t]+.*)?\Z")


class VirusOptions(registry.Options, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "sums_file": "SHA-256 sums of bad files, a line each as sha256sum writes them; read again when it changes",
    }
    on_error: registry.OnFailure = "defer"
    sums_file: str = ""


class Virus:
    """Is it a virus?

    EICAR, and files whose SHA-256 sum is listed in `sums_file`. A list that can't be read at start is refused; one that
    goes bad later leaves the last good one in force, which every mail's trace then says.
    """

    name = "virus"
    scanner = "Gatepost"
    cost = Cost.PARSE
    Options = VirusOptions

    def __init__(self, options: VirusOptions, tools: Tools) -> None:
        self.anywhere = not options.sums_file  # which may change before another process reads it
        self._sums = _watched(Path(options.sums_file)) if options.sums_file else None

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        anatomy = await mail.anatomy()
        found = list(_eicar(mail, anatomy))
        if self._sums:
            await self._sums.refresh()
            found += _stale(self._sums)
            found += _listed(anatomy, self._sums.value)
        return found


def _watched(path: Path) -> Watched[frozenset[bytes]]:
    try:
        return Watched(path, _read)
    except (OSError, ValueError) as error:
        raise ValueError(f"sums_file: {error}") from error


def _stale(sums: Watched[frozenset[bytes]]) -> Iterator[Finding]:
    if sums.trouble:
        reason = plain(f"the list of sums can't be read, its last good state counts: {sums.trouble}")
        yield Finding(category=Category.NOTE, symbol="SUMS_STALE", reason=reason, by=Virus.name)


def _read(path: Path) -> frozenset[bytes]:
    return frozenset(_parsed(path.read_text(encoding="utf-8-sig"), path))


def _parsed(text: str, path: Path) -> Iterator[bytes]:
    for number, line in enumerate(text.splitlines(), 1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        match = _SUM.match(said)
        if not match:
            raise ValueError(f"{path}: line {number} is no SHA-256 sum")
        yield bytes.fromhex(match[1])


def _eicar(mail: Mail, anatomy: Anatomy) -> Iterator[Finding]:
    found = False
    for part in anatomy.parts:
        if EICAR in part.head:
            yield _finding("EICAR", wording.of_part(anatomy, part), "the test virus (EICAR)")
            found = True
        for member in part.members:
            if EICAR in member.head:
                yield _finding("EICAR", wording.of_member(anatomy, part, member), "the test virus (EICAR)")
                found = True
    raw = mail.body.data
    if not found and raw is not None and raw.find(EICAR, anatomy.header_end) >= 0:
        yield _finding("EICAR", "the body", "the test virus (EICAR)")


def _listed(anatomy: Anatomy, sums: frozenset[bytes]) -> Iterator[Finding]:
    for part in anatomy.parts:
        if part.sha256 and bytes.fromhex(part.sha256) in sums:
            yield _finding("SHA256_LISTED", wording.of_part(anatomy, part), f"listed file {part.sha256}")
        for member in part.members:
            if member.sha256 and bytes.fromhex(member.sha256) in sums:
                name = wording.of_member(anatomy, part, member)
                yield _finding("SHA256_LISTED", name, f"listed file {member.sha256}")


def _finding(symbol: str, where: str, what: str) -> Finding:
    return Finding(category=Category.VIRUS, symbol=symbol, reason=plain(f"{plain(where, 120)}: {what}"), by=Virus.name)


FILTER = Virus
