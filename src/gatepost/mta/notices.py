"""Notices: mail of the gateway itself to a person, kept and queued as any other, but neither filtered nor judged."""

from collections.abc import Sequence

import msgspec

from gatepost.events import Clock, Trail, log
from gatepost.message.anatomy import Anatomy, Summary
from gatepost.message.authors import authors
from gatepost.message.mail import Busy, Opener, Unscannable
from gatepost.model.address import Address
from gatepost.model.envelope import Body, Client, Direction, Envelope, Recipient
from gatepost.model.query import eq
from gatepost.model.stored import Delivery
from gatepost.model.tenant import Group
from gatepost.model.verdict import Action, Category, Verdict
from gatepost.mta.directory import Directory
from gatepost.mta.home import reach
from gatepost.mta.judge import DAY
from gatepost.mta.keeping import Also
from gatepost.mta.queue import Queue
from gatepost.mta.rows import delivery, fresh_id, message_row
from gatepost.settings import Settings
from gatepost.store.mail import Kept
from gatepost.store.store import Store, Writer

_HERE = Client(ip="")  # it came in by no door
_SENT = Verdict(action=Action.DELIVER, category=Category.CLEAN, score=0.0)


class Notices:
    """Sends what the gateway has to say; the null sender, so that nothing comes of a bounce but a line in the log."""

    def __init__(
        self, store: Store, directory: Directory, queue: Queue, opener: Opener, settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self._directory = directory
        self._queue = queue
        self._opener = opener
        self._settings = settings
        self._clock = clock

    def new_id(self) -> str:
        """Return the id of a notice, for its Message-ID."""
        return fresh_id(self._clock())

    async def send(self, mail_id: str, data: bytes, to: Address, also: Also | None = None) -> None:
        """Keep and queue a composed mail, and `also` in the same commit; on return it is durable.

        `mail_id` comes of `new_id`.

        It goes to the mail server of an address that we serve, to the members of a group, else outside. Raises
        Problem: UNPROCESSABLE and those of `Directory.resolve` where there is no way, FULL or UNAVAILABLE as the store.
        """
        body = Body(len(data), data)
        envelope = self._envelope(mail_id, body, await self._recipients(to))
        anatomy = await self._anatomy(body)
        signer = next((author.domain for author in authors(anatomy)), "") if anatomy else ""
        message = message_row(envelope, body, anatomy.summary if anatomy else Summary(), signer)
        life = self._settings.queue.life
        ways = [delivery(envelope, recipient, _SENT, life=life) for recipient in envelope.recipients]
        trail = self._trail(body, ways)
        until = self._clock() + self._settings.trace.days * DAY

        def change(writer: Writer) -> Kept:
            if also is not None:
                also(writer)
            return writer.keep(message, body, [], ways, trail.events, until)

        kept = await self._store.write(change)
        ready = [msgspec.structs.replace(way, id=id) for way, id in zip(ways, kept.deliveries, strict=True)]
        self._queue.push(message, ready, body)
        log.info("notice", id=mail_id, to=to.text)

    async def _anatomy(self, body: Body) -> Anatomy | None:
        try:
            return self._opener.glance(body) or await self._opener.delegate(body)
        except (Unscannable, Busy) as error:  # it goes unsigned
            log.warning("a notice could not be taken apart", why=str(error))
            return None

    async def _recipients(self, to: Address) -> tuple[Recipient, ...]:
        reader = self._store.reader
        recipient = reach(reader, to)
        if recipient.user_id is None and reader.first(Group, eq("email", recipient.address.key)) is not None:
            return await self._directory.resolve(to, _HERE, None)
        return (recipient,)

    def _envelope(self, mail_id: str, body: Body, recipients: tuple[Recipient, ...]) -> Envelope:
        head = (body.data or b"").partition(b"\r\n\r\n")[0]
        return Envelope(
            id=mail_id,
            client=_HERE,
            sender=None,
            recipients=recipients,
            direction=Direction.OUT,
            received=self._clock(),
            smtputf8=not head.isascii() or any(each.address.needs_smtputf8 for each in recipients),
        )

    def _trail(self, body: Body, ways: Sequence[Delivery]) -> Trail:
        trail = Trail(self._clock)
        trail.add("received", "a notice of this gateway", size=body.size)
        for way in ways:
            trail.add("queued", mailbox=way.recipient)
        return trail
