"""Releases: a kept mail goes to its mailbox, as it came; nothing is filtered or copied again."""

from collections.abc import Sequence

import msgspec

from gatepost.events import Clock, log
from gatepost.model.address import Address, parse_address
from gatepost.model.envelope import Body
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Where, eq, every
from gatepost.model.stored import Copy, Delivery, Message, State, TraceEvent
from gatepost.model.tenant import User
from gatepost.mta.bound import bound_later
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
        """Send a kept mail on: to its mailbox, or, where it was to leave, to those for whom it was held.

        No filter runs again, and there is no tag. False: earlier releases are all on their way. The copy stays until
        its term ends (contract A65). Raises Problem(NOT_FOUND) when the body is gone, Problem(UNPROCESSABLE) when
        there is nowhere to send it.
        """
        ways = self._ways(copy, message)

        calls = self._hooks.of_release(message, copy)  # made here: hooks belong to the loop, not to the writer

        def change(writer: Writer) -> tuple[list[Delivery], Body] | None:
            free = [way for way in ways if not _on_its_way(writer, way)]
            if not free:
                return None
            body = writer.body(copy.mail_id)
            if body is None or writer.get(Copy, copy.id) is None:
                raise Problem(Kind.NOT_FOUND, "the mail is no longer kept")
            ids = writer.enqueue(free)
            now = self._clock()
            writer.change(Copy, copy.id, released_at=now)
            event = TraceEvent(at=now, event="released", mailbox=copy.mailbox, text=f"out of {copy.folder}")
            writer.note(copy.mail_id, [event], now + self._settings.trace.days * DAY)
            for call in calls:
                writer.add(call)
            return [msgspec.structs.replace(way, id=each) for way, each in zip(free, ids, strict=True)], body

        released = await self._store.write(change)
        if released is None:
            return False
        queued, body = released
        self._queue.push(message, queued, body)
        for way in queued:
            log.info("released", id=copy.mail_id, to=way.recipient, folder=copy.folder)
        return True

    def _ways(self, copy: Copy, message: Message) -> list[Delivery]:
        if not copy.held_for:
            return [self._home(copy, message)]
        to = [parse_address(each) for each in copy.held_for]
        outside = [each for each in to if each.key != copy.mailbox or self._directory.served(each.domain) is None]
        ways = [self._home(copy, message)] if len(outside) < len(to) else []
        return [*ways, *self._leaving(copy, message, outside)]

    def _home(self, copy: Copy, message: Message) -> Delivery:
        to, platform_id = parse_address(copy.mailbox), self._platform(copy)
        return release(copy, message, to, platform_id, now=self._clock(), life=self._settings.queue.life)

    def _leaving(self, copy: Copy, message: Message, to: Sequence[Address]) -> list[Delivery]:
        now, life = self._clock(), self._settings.queue.life
        groups = self._is_groups(copy, message)
        by = None if groups else bound_later(self._store.reader, copy, message)
        ways = [release(copy, message, each, None, now=now, life=life, connection_id=by) for each in to]
        return self._of_group(copy, message, ways) if groups else ways

    def _of_group(self, copy: Copy, message: Message, ways: Sequence[Delivery]) -> list[Delivery]:
        """Outside members get it from an address of ours, and its author learns nothing of them (rules 9)."""
        sender = parse_address(message.sender) if message.sender else None
        stand_in = self._directory.stand_in(sender, parse_address(copy.mailbox).domain)
        name = message.sender if stand_in is None else stand_in
        return [msgspec.structs.replace(way, sender=name, group=copy.mailbox, proven=False) for way in ways]

    def _is_groups(self, copy: Copy, message: Message) -> bool:
        """Tell whether a mail that was to leave was held for a group, which may be gone by now, not for its author."""
        if not message.sender or copy.user_id is not None:
            return False
        sender = parse_address(message.sender)
        # His address as he wrote it is where mail was kept once, under another name of his domain.
        authors = [message.login] if message.login else [sender.key, (self._directory.own_name(sender) or sender).key]
        return copy.mailbox not in authors

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
