"""Releases: a kept mail goes to its mailbox, as it came; nothing is filtered or copied again."""

import msgspec

from gatepost.events import Clock, log
from gatepost.model.address import parse_address
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Where, eq, every
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.model.tenant import User
from gatepost.mta.directory import Directory
from gatepost.mta.hooks import Hooks
from gatepost.mta.judge import DAY
from gatepost.mta.queue import Queue
from gatepost.mta.rows import release
from gatepost.settings import Settings
from gatepost.store.store import Store, Writer


class Releases:
    """Sends mail out of folders."""

    def __init__(
        self, store: Store, directory: Directory, queue: Queue, hooks: Hooks, settings: Settings, *, clock: Clock
    ) -> None:
        self._store = store
        self._hooks = hooks
        self._directory = directory
        self._queue = queue
        self._settings = settings
        self._clock = clock

    async def requeue(self, copy: Copy, message: Message) -> bool:
        """Send a kept mail to its mailbox: no filter runs again, no tag. False: an earlier release is on its way.

        The copy stays until its term ends (contract A65). Raises Problem(NOT_FOUND) when the body is gone,
        Problem(UNPROCESSABLE) when there is nowhere to send it.
        """
        way = release(copy, message, self._platform(copy), now=self._clock(), life=self._settings.queue.life)

        def change(writer: Writer) -> tuple[Delivery, Body] | None:
            if _on_its_way(writer, way):
                return None
            body = writer.body(copy.mail_id)
            if body is None or writer.get(Copy, copy.id) is None:
                raise Problem(Kind.NOT_FOUND, "the mail is no longer kept")
            (delivery_id,) = writer.enqueue([way])
            now = self._clock()
            writer.change(Copy, copy.id, released_at=now)
            event = TraceEvent(at=now, event="released", mailbox=copy.mailbox, text=f"out of {copy.folder}")
            writer.note(copy.mail_id, [event], now + self._settings.trace.days * DAY)
            for call in self._hooks.of_release(message, copy):
                writer.add(call)
            return msgspec.structs.replace(way, id=delivery_id), body

        released = await self._store.write(change)
        if released is None:
            return False
        queued, body = released
        self._queue.push(message, [queued], body)
        log.info("released", id=copy.mail_id, to=queued.recipient, folder=copy.folder)
        return True

    def _platform(self, copy: Copy) -> int:
        view = self._directory.served(parse_address(copy.mailbox).domain)
        user = self._store.reader.get(User, copy.user_id) if copy.user_id else None
        platform_id = (user.platform_id if user else None) or (view.platform_id if view else None)
        if platform_id is None:
            raise Problem(Kind.UNPROCESSABLE, "the mailbox has no mail server to release to")
        return platform_id


def _on_its_way(writer: Writer, way: Delivery) -> bool:
    live = Where("state", Op.IN, (State.QUEUED, State.HELD))
    same = every(eq("mail_id", way.mail_id), eq("recipient", way.recipient), eq("release", True), live)
    return writer.first(Delivery, same) is not None
