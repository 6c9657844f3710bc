"""Opens archives within archives, within limits; in the worker process only (threats 55-59).

Nothing is written to disc. What can't be opened is told: damaged, split, unknown, encrypted, or beyond a limit.
"""

import hashlib
import time
from collections.abc import Callable, Sequence

from gatepost.message import (
    decode,
    foreign,
    names,
    office,
    packed,
    pdf,
    scripts,
    sevenzip,
    sniff,
    tnef,
    udf,
    wrapped,
    zips,
)
from gatepost.message.anatomy import Link, Member
from gatepost.message.entity import fit
from gatepost.message.inside import Inside, is_page
from gatepost.message.links import ASIDES_MAX
from gatepost.message.meter import BROKEN, Damaged, Entry, Meter, Reader, Stop
from gatepost.message.table import Unpacked
from gatepost.settings import Limits

HEAD = 512
"""Octets of content that a member keeps."""

_MAILS = (".eml", ".mht", ".mhtml")
_READERS: dict[str, Reader] = {
    "zip": zips.read,
    "gzip": packed.gzip,
    "bzip2": packed.bzip2,
    "xz": packed.xz,
    "zstd": packed.zstd,
    "tar": packed.tar,
    "7z": sevenzip.read,
    "lzma": packed.lzma_alone,
    "tnef": tnef.read,
    "ole": office.ole,
    "onenote": office.onenote,
    "rtf": office.rtf,
    "pdf": pdf.files,
    "udf": udf.read,
    **foreign.READERS,
}


class Unpacker:
    """Opens the archives of one mail; their limits are counted together."""

    def __init__(self, limits: Limits, timer: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._timer = timer
        self._octets = limits.archive_bytes
        self._entries = limits.archive_entries
        self._deadline = float("inf")
        self._members: list[Member] = []
        self._problems: dict[str, None] = {}
        self._encrypted = self._macros = False
        self._mails: list[bytes] = []
        self._texts: list[bytes] = []
        self._links: list[Link] = []
        self._inside = Inside()

    def __call__(self, content: bytes, name: str, deadline: float) -> Unpacked:
        """Open an archive and those within it; never raises."""
        self._deadline = deadline
        self._members, self._problems, self._mails, self._texts, self._links = [], {}, [], [], []
        kind = sniff.container(content)
        seen = office.look(content, kind)
        self._macros, self._encrypted = seen.macros, seen.encrypted
        try:
            self._look_for_links(content, "", kind, ())
            self._open(content, name, "", 1)
        except Stop as stop:
            self._problems[str(stop)] = None
        return Unpacked(
            members=tuple(self._members),
            problems=tuple(self._problems),
            encrypted=self._encrypted,
            macros=self._macros,
            mails=tuple(self._mails),
            texts=tuple(self._texts),
            links=tuple(self._links),
        )

    def _open(self, content: bytes, name: str, path: str, depth: int) -> None:
        for kind in sniff.containers(content, name):
            self._open_as(kind, content, name, path, depth)

    def _open_as(self, kind: str, content: bytes, name: str, path: str, depth: int) -> None:
        self._descend(depth)
        reader = _READERS.get(kind)
        if reader is None:
            self._tell(path, f"is an archive that can't be opened here ({kind})")
            return
        meter = Meter(len(content), self._limits.archive_ratio, self._spend)
        try:
            for entry in reader(content, name, meter):
                self._take(entry, path, depth)
        except Damaged as error:
            self._tell(path, str(error))
        except BROKEN as error:
            self._tell(path, f"is damaged or split ({kind}: {type(error).__name__})")

    def _descend(self, depth: int) -> None:
        if depth > self._limits.archive_depth:
            raise Stop(f"archives are nested more than {self._limits.archive_depth} deep")

    def _spend(self, octets: int) -> None:
        self._octets -= octets
        if self._octets < 0:
            raise Stop(f"the mail's archives unpack to more than {self._limits.archive_bytes} octets")
        self._hurry()

    def _hurry(self) -> None:
        if self._timer() > self._deadline:
            raise Stop("opening took too long")

    def _take(self, entry: Entry, path: str, depth: int) -> None:
        self._entries -= 1
        if self._entries < 0:
            raise Stop(f"the mail's archives have more than {self._limits.archive_entries} entries")
        self._hurry()
        if entry.page:
            self._take_page(entry.content or b"", path, depth)
            return
        named = names.normal(entry.names)
        label = f"{path} > {fit(named.shown)}" if path else fit(named.shown)
        if entry.problem:
            self._tell(label, entry.problem)
        if named.cut:
            self._tell(label, "has more names than are looked at")
        if sniff.is_piece(named.all):
            self._tell(label, sniff.PIECE)
        container = sniff.container(entry.content) if entry.content else ""
        member = _member(entry, named, label, depth, container)
        told = bool(container) or sniff.is_piece(named.all)
        if member.read and not told and not entry.shared and sniff.is_misnamed(named.all, member.type):
            self._tell(label, sniff.MISNAMED)
        self._encrypted |= member.encrypted or entry.encrypted
        self._macros |= member.macros
        if named.all:
            self._members.append(member)
        if entry.content:  # not all heed that an entry calls itself a link
            if member.type == "message/rfc822" or any(name.lower().endswith(_MAILS) for name in named.all):
                self._mails.append(entry.content)
            else:
                may_hold = not container and wrapped.may_hold_mails(member.type)
                self._texts += wrapped.mails(entry.content) if may_hold else []
                self._look_for_links(entry.content, member.type, container, named.all)
            self._open(entry.content, named.shown, label, depth + 1)
            self._carried(entry.content, member, label, depth + 1)

    def _take_page(self, content: bytes, path: str, depth: int) -> None:
        """Take what the text of a mail leads to, and the objects in it."""
        rich = content.startswith(b"{\\rt")
        self._look_for_links(content, "text/rtf" if rich else "text/html", "", ())
        if rich:
            self._open(content, "", path, depth + 1)

    def _carried(self, content: bytes, member: Member, path: str, depth: int) -> None:
        """Take the files that a page, a script, a calendar or a signed file carries: no archives by their own make."""
        if wrapped.is_cms(member.names):
            self._descend(depth)
            self._signed(content, member.names[0], path, depth)
        files = wrapped.calendar_files(content) if wrapped.is_folded(member.type, member.names) else []
        if is_page(member.type, member.names) or member.type == "text/xml" or sniff.script_type(member.names):
            files += scripts.files(content)
        for name, data in files:
            self._descend(depth)
            self._spend(len(data))
            self._take(Entry(names=(decode.guessed(name) or "unnamed",), content=data), path, depth)

    def _signed(self, content: bytes, name: str, path: str, depth: int) -> None:
        """Take what an S/MIME object holds: a mail, or a file."""
        seal, inside = wrapped.cms(content)
        self._encrypted |= seal is wrapped.Seal.ENVELOPED
        if seal is wrapped.Seal.UNKNOWN:
            self._tell(path, "the S/MIME content can't be read")
        if not inside:
            return
        self._spend(len(inside))
        if not wrapped.is_file(name, inside):
            self._mails.append(inside)
        if inner := wrapped.file_name(name, inside):
            self._take(Entry(names=(inner,), content=inside), path, depth)

    def _look_for_links(self, content: bytes, media: str, kind: str, names: Sequence[str]) -> None:
        if len(self._links) < ASIDES_MAX:
            self._links += self._inside.links(content, media, kind, names)

    def _tell(self, path: str, problem: str) -> None:
        self._problems[f"{path}: {problem}" if path else problem] = None


def _member(entry: Entry, named: names.Named, label: str, depth: int, container: str) -> Member:
    content = entry.content
    seen = office.look(content, container, named.all) if content else office.Look()
    return Member(
        names=named.all,
        path=label,
        size=entry.size if content is None else len(content),
        type="" if content is None else sniff.media_type(content, named.all),
        sha256="" if content is None else hashlib.sha256(content).hexdigest(),
        head=(content or b"")[:HEAD],
        kind=entry.kind,
        encrypted=entry.encrypted or seen.encrypted,
        macros=seen.macros,
        read=content is not None,
        depth=depth,
    )
