"""What the rules look at: a mail's fields, author, texts and lists, each read once."""

from functools import cached_property
from itertools import islice

from gatepost.filters.symbols import Lists
from gatepost.message.anatomy import Anatomy
from gatepost.message.authors import Box, box
from gatepost.message.headers import readable
from gatepost.message.links import registered
from gatepost.message.prose import Prose
from gatepost.model.auth import AuthResults, Result
from gatepost.model.envelope import Envelope, Role

Sign = tuple[str, str]
"""A symbol, and what of the mail shows it ("" if that goes without saying)."""

READERS_MAX = 200


class Facts:
    """One mail, as the rules see it."""

    def __init__(
        self, anatomy: Anatomy, prose: Prose, envelope: Envelope, auth: AuthResults | None, lists: Lists
    ) -> None:
        self.anatomy = anatomy
        self.prose = prose
        self.envelope = envelope
        self.auth = auth
        self.lists = lists
        self.fields: dict[bytes, list[bytes]] = {}
        for header in anatomy.headers:
            self.fields.setdefault(header.name.lower(), []).append(header.value)
        self.author = box(self.raw(b"from"))
        self.author_domain = registered(self.author.domain) if self.author.domain else ""

    def raw(self, name: bytes) -> bytes:
        """Return the first field of that name as it stands, b"" if there is none."""
        found = self.fields.get(name)
        return found[0] if found else b""

    def text(self, name: bytes) -> str:
        """Return the first field of that name, decoded."""
        return readable(self.raw(name))

    @cached_property
    def reply(self) -> Box | None:
        """Where answers go, if that is said."""
        return box(self.raw(b"reply-to")) if b"reply-to" in self.fields else None

    @cached_property
    def readers(self) -> list[Box]:
        """Whom To and Cc name."""
        values = [value for name in (b"to", b"cc") for value in self.fields.get(name, ())]
        pieces = (piece for value in values for piece in value.split(b","))
        return [found for piece in islice(pieces, READERS_MAX) if (found := box(piece)).domain]

    @cached_property
    def recipients(self) -> frozenset[str]:
        """The envelope's recipients, as given and as resolved."""
        each = self.envelope.recipients
        return frozenset(address.key for one in each for address in (one.address, one.given))

    @cached_property
    def our_domains(self) -> frozenset[str]:
        return frozenset(address.rpartition("@")[2] for address in self.recipients)

    @cached_property
    def from_the_world(self) -> bool:
        """Whether a stranger's server brought it: who signed in, or sends from our networks, is known."""
        client = self.envelope.client
        return client.role is Role.MX and client.login is None

    @cached_property
    def listed(self) -> bool:
        """Whether a mailing list or a sender of newsletters, which says how to leave, had the mail."""
        names = (b"list-unsubscribe", b"list-id", b"list-post", b"mailing-list", b"x-mailing-list", b"x-beenthere")
        return any(name in self.fields for name in names)

    @property
    def proven(self) -> bool:
        """Whether the author is proven; False where nobody looked."""
        return self.auth is not None and self.auth.proven

    @property
    def refuted(self) -> bool:
        """Whether the author's domain disowns the mail (DMARC) and no list explains that; False if nobody looked."""
        return self.auth is not None and self.auth.dmarc.result is Result.FAIL and not self.discussed

    @cached_property
    def lawful(self) -> bool:
        """Whether it went through a list, and its author is proven as far as anybody looked."""
        return self.listed and (self.auth is None or self.auth.proven or self.discussed)

    @cached_property
    def discussed(self) -> bool:
        """Whether it went through a list on which people answer each other."""
        if self.raw(b"list-post").strip().upper().startswith(b"NO"):  # RFC 2369 3.4: for announcements
            return False
        names = (b"list-post", b"x-beenthere", b"mailing-list", b"x-mailing-list", b"x-mailman-version")
        return any(name in self.fields for name in names)

    @cached_property
    def answers(self) -> bool:
        """Whether the header names what the mail answers."""
        return b"in-reply-to" in self.fields or b"references" in self.fields

    def freemail(self, domain: str) -> bool:
        return domain in self.lists.freemail
