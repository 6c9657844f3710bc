"""What the rules look at: a mail's fields, author, texts and lists, each read once."""

from functools import cached_property
from itertools import islice

from gatepost.filters.symbols import Lists
from gatepost.message.anatomy import Anatomy, Link, Part, Source
from gatepost.message.authors import Box, box
from gatepost.message.headers import readable
from gatepost.message.hosts import registered
from gatepost.message.mail import Mail
from gatepost.message.prose import Prose
from gatepost.model.auth import AuthResults, Result
from gatepost.model.envelope import Envelope

Sign = tuple[str, str]
"""A symbol, and what of the mail shows it ("" if that goes without saying)."""

READERS_MAX = 200
LINKS_MAX = 200
_LISTED = frozenset({b"list-unsubscribe", b"list-id", b"list-post", b"mailing-list", b"x-mailing-list", b"x-beenthere"})
_DISCUSSED = frozenset({b"list-post", b"x-beenthere", b"mailing-list", b"x-mailing-list", b"x-mailman-version"})
_ANSWERS = frozenset({b"in-reply-to", b"references"})


class Facts:
    """One mail, as the rules see it.

    `recipients` are the envelope's, as given and as resolved. `from_the_world`: a stranger's server brought it; who
    signed in, or sends from our networks, is known. `listed`: a mailing list or a sender of newsletters, which says how
    to leave, had the mail. `discussed`: it went through a list on which people answer each other. `answers`: the header
    names what the mail answers. `reply` is where answers go, if that is said.
    """

    def __init__(
        self, anatomy: Anatomy, prose: Prose, envelope: Envelope, auth: AuthResults | None, lists: Lists
    ) -> None:
        self.anatomy = anatomy
        self.prose = prose
        self.envelope = envelope
        self.auth = auth
        self.lists = lists
        self.fields = anatomy.fields
        self.author = box(self.raw(b"from"))
        self.author_domain = registered(self.author.domain) if self.author.domain else ""
        self.reply = box(self.raw(b"reply-to")) if b"reply-to" in self.fields else None
        self.recipients = frozenset(
            address.key for each in envelope.recipients for address in (each.address, each.given)
        )
        self.our_domains = frozenset(address.rpartition("@")[2] for address in self.recipients)
        self.from_the_world = envelope.client.is_stranger
        self.listed = not _LISTED.isdisjoint(self.fields)
        announced = self.raw(b"list-post").strip().upper().startswith(b"NO")  # RFC 2369 3.4: for announcements
        listing = b"list-id" in self.fields and self.raw(b"precedence").strip().lower() == b"list"
        self.discussed = not announced and (listing or not _DISCUSSED.isdisjoint(self.fields))
        self.answers = not _ANSWERS.isdisjoint(self.fields)

    def raw(self, name: bytes) -> bytes:
        """Return the first field of that name as it stands, b"" if there is none."""
        found = self.fields.get(name)
        return found[0] if found else b""

    def text(self, name: bytes) -> str:
        """Return the first field of that name, decoded."""
        return readable(self.raw(name))

    @cached_property
    def readers(self) -> list[Box]:
        """Whom To and Cc name."""
        values = [value for name in (b"to", b"cc") for value in self.fields.get(name, ())]
        pieces = (piece for value in values for piece in value.split(b","))
        return [found for piece in islice(pieces, READERS_MAX) if (found := box(piece)).domain]

    @cached_property
    def links(self) -> list[Link]:
        """The links that a mail program shows; those inside of files are not."""
        return [link for link in islice(self.anatomy.links, LINKS_MAX) if link.source is not Source.FILE]

    @property
    def answered_elsewhere(self) -> bool:
        """Whether answers go to another registered domain than the author's."""
        return (
            self.reply is not None and bool(self.reply.domain) and registered(self.reply.domain) != self.author_domain
        )

    def within(self, link: Link) -> bool:
        """Tell whether a link leads to the reader's own domain, or to the very server that the author's address names.

        An address right under a registered domain names no server: such a domain may be bought for a day.
        """
        named = self.author.domain if self.author.domain != self.author_domain else ""
        return link.host == named or self.ours(link.domain)

    def ours(self, domain: str) -> bool:
        """Tell whether a registered domain is a recipient's."""
        return domain in map(registered, self.our_domains)

    @cached_property
    def bare(self) -> bool:
        """Whether neither a file nor a picture comes along, so that its links are all that a mail can lead by."""
        return not any((part.attachment and not part.body) or _pictured(part) for part in self.anatomy.parts)

    @property
    def proven(self) -> bool:
        """Whether the author is proven; False where nobody looked."""
        return self.auth is not None and self.auth.proven

    @property
    def refuted(self) -> bool:
        """Whether the author's domain disowns the mail (DMARC) and no list explains that; False if nobody looked."""
        return self.auth is not None and self.auth.dmarc.result is Result.FAIL and not self.discussed

    @property
    def lawful(self) -> bool:
        """Whether it went through a list, and its author is proven as far as anybody looked."""
        return self.listed and (self.auth is None or self.auth.proven or self.discussed)

    def abused(self, host: str) -> bool:
        """Tell whether a host lies under a suffix that spam favours, of one label or two."""
        above, _, last = host.rpartition(".")
        return last in self.lists.tlds or f"{above.rpartition('.')[2]}.{last}" in self.lists.tlds

    def freemail(self, domain: str) -> bool:
        return domain in self.lists.freemail


def _pictured(part: Part) -> bool:
    return any(kind.startswith("image/") for kind in part.types)


async def facts_of(mail: Mail, lists: Lists) -> Facts:
    """Return a mail as the rules see it; read once for all that go by the same lists."""
    anatomy = await mail.anatomy()
    return mail.once((Facts, id(lists)), lambda: Facts(anatomy, mail.prose(anatomy), mail.envelope, mail.auth, lists))
