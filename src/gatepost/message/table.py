"""The table on which a mail lies while it is taken apart: what was found, what was used of each limit."""

from collections.abc import Callable

import msgspec

from gatepost.message.anatomy import TEXT_BYTES, Defect, Link, Member, Part, Symbol
from gatepost.message.entity import Entity
from gatepost.message.links import Collector
from gatepost.settings import Limits

INLINE_PARTS = 100
"""Parts of a mail that is taken apart in the loop: each may cost a tenth of a millisecond."""


class Heavy(Exception):
    """The mail holds something that only the worker process may open, or more than the loop has time for."""


class Unpacked(msgspec.Struct, frozen=True, kw_only=True):
    """What came out of an archive; `problems` are sentences that say what could not be opened, and why.

    `mails` are the octets of members that are mails, whose parts are parts of this one; `texts` are mails that stand in
    members that are texts; `links` are those of the other members and of the document that holds them.
    """

    members: tuple[Member, ...] = ()
    problems: tuple[str, ...] = ()
    encrypted: bool = False
    macros: bool = False
    mails: tuple[bytes, ...] = ()
    texts: tuple[bytes, ...] = ()
    links: tuple[Link, ...] = ()


Unpack = Callable[[bytes, str, float], Unpacked]
"""Opens an archive: (content, its name, the timer's deadline) -> what is in it. Never raises."""


class Table:
    """One mail's findings and budgets."""

    def __init__(self, data: bytes, limits: Limits, unpack: Unpack | None, timer: Callable[[], float]) -> None:
        self.data = data
        self.limits = limits
        self.parts: list[Part] = []
        self.defects: list[Defect] = []
        self.unscannable: dict[str, None] = {}
        self.collector = Collector()
        self.deadline = timer() + limits.scan_seconds
        self._timer = timer
        self._unpack = unpack
        self._budget = 2 * len(data) + 1_000_000  # octets that may be decoded in all
        self._texts = 4 * TEXT_BYTES
        self._images = limits.qr_images
        self._seen: set[tuple[int, int, int, str]] = set()
        self._kept: list[bytes] = [data]  # so that the ids in `_seen` stay true

    @property
    def inline(self) -> bool:
        """The mail is taken apart in the loop, where little time may be taken."""
        return self._unpack is None

    def too_much_here(self) -> bool:
        """Tell whether a mail of so many parts is a worker's task, though it holds no archive."""
        return self.inline and len(self.parts) > INLINE_PARTS

    def late(self) -> bool:
        return self._timer() > self.deadline

    def stop(self, text: str, symbol: Symbol | None = None, part: int = 0) -> None:
        """Note that something is not looked into."""
        if symbol is not None and text not in self.unscannable:
            self.defects.append(Defect(symbol, text, part))
        self.unscannable[text] = None

    def flaw(self, symbol: Symbol, text: str, part: int) -> None:
        """Note a defect."""
        self.defects.append(Defect(symbol, text, part))

    def spend(self, octets: int) -> bool:
        """Take from the budget of decoded octets; False, and noted, when it is used up."""
        self._budget -= octets
        if self._budget < 0:
            self.stop("the mail decodes to more than is looked into")
        return self._budget >= 0

    def grow(self, octets: int) -> None:
        """Let as much again be decoded as an archive gave, which has a limit of its own."""
        self._budget += 2 * octets

    def text_fits(self, octets: int) -> bool:
        """Take from the budget of texts that the anatomy carries."""
        self._texts -= octets
        return self._texts >= 0

    def image_fits(self) -> bool:
        """Take from the number of images that are searched for QR codes."""
        self._images -= 1
        return self._images >= 0

    def keep(self, data: bytes) -> bytes:
        """Return octets that entities are read from; they stay until the end."""
        self._kept.append(data)
        return data

    def fresh(self, entity: Entity, body: int, encoding: str) -> bool:
        """Tell whether a reading is worth a part: a hidden one of octets that were read so already is not."""
        key = (id(entity.data), body, entity.end, encoding)
        known = key in self._seen
        self._seen.add(key)
        return not (known and entity.hidden)

    def require_worker(self) -> None:
        """Raise Heavy outside the worker process."""
        if self.inline:
            raise Heavy

    def unpack(self, content: bytes, name: str) -> Unpacked:
        """Open an archive; raises Heavy outside the worker process."""
        if self._unpack is None:
            raise Heavy
        return self._unpack(content, name, self.deadline)
