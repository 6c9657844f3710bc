"""One connection: octets in, replies out, its clock, its TLS, its end. The commands stand in session.py."""

import asyncio
import itertools
from contextlib import suppress
from typing import cast

import msgspec
from aiosmtpd.smtp import SMTP

from gatepost.events import log
from gatepost.lookout import Lookout
from gatepost.model.envelope import Client
from gatepost.smtp import proxy, replies, tls
from gatepost.smtp.door import Door
from gatepost.smtp.replies import Reply
from gatepost.smtp.throttle import Awaits, Conduct, Watch, bare_ip
from gatepost.smtp.wire import BUFFER, TLS_HANDSHAKE, Reader, foreign

_NOBODY = Client(ip="")

_serial = itertools.count(1)


class Gone(Exception):
    """The client has left, or was cut off."""


class Connection(SMTP):
    """aiosmtpd's protocol with its own life: strict reading, lingering close, no cancelling of what is being kept.

    Attributes are few, and no `__init__` above is called: aiosmtpd's inspects the whole object for each connection,
    asyncio's makes a future of the end that nobody waits for, and that complains of a reset which nobody asked about.
    """

    transport: asyncio.Transport

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self.reader = Reader(limit=BUFFER, loop=loop)
        self.loop = loop
        self.door = door
        self.conduct = Conduct(door.limits)
        self.watch = Watch(door.limits, door.window, loop.time())
        self.client = _NOBODY
        self.task: asyncio.Task[None] | None = None
        self._clock: Lookout | None = None  # once it has lasted for a while
        self._plain: asyncio.Transport | None = None  # what lies under TLS
        self._claimed = ""  # the address that counts for this connection
        self._clogged: asyncio.Future[None] | None = None  # set while the client reads too slowly
        self._greeted = False
        self.over = False  # nothing that comes is read any more

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.reader.move(transport)
        if self._plain is not None:
            return
        peer = transport.get_extra_info("peername")
        if not peer:  # gone already
            self.transport.abort()
            return
        self.client = Client(
            ip=bare_ip(peer[0]),
            port=peer[1],
            listener=self.door.name,
            role=self.door.role,
            session=f"{next(_serial):x}",
        )
        self._enter()

    def _enter(self) -> None:
        refusal = self.door.enter(self)
        if refusal is not None:
            self._turn_away(refusal)
            return
        self.task = self.loop.create_task(self.door.serve(self))
        self.door.fresh.add(self)
        self.door.log.debug("connect", session=self.client.session, ip=self.client.ip, listener=self.door.name)

    def _turn_away(self, refusal: Reply) -> None:
        if not self.door.implicit:
            self.transport.write(refusal.wire)
        self.transport.close()
        log.info("turned away", ip=self.client.ip, listener=self.door.name, reply=refusal.text)

    def left(self) -> None:
        """Give its place free: nothing runs for it any more."""
        self.door.leave(self)
        if self._claimed:
            self.door.throttle.release(self._claimed)
        self.door.log.debug("disconnect", session=self.client.session, ip=self.client.ip)

    def data_received(self, data: bytes) -> None:
        if self.over:
            return
        if not self.client.helo and self._greeted and self._plain is None and data.startswith(TLS_HANDSHAKE):
            self.hang_up(replies.NOT_SMTP)
            return
        self.reader.take(data)

    def eof_received(self) -> bool:
        """The client will say no more; what it said is still worked on, and answered where the transport can."""
        if self.over:
            return False
        self.reader.feed_eof()
        return self._plain is None

    def connection_lost(self, error: Exception | None) -> None:
        # Nothing is cancelled: reading ends by itself, and what the house is keeping is kept whole.
        self.over = True
        self._stop_clock()
        self.door.leaving.drop(self)
        self.resume_writing()
        if error is None:
            self.reader.feed_eof()
        else:
            self.reader.set_exception(error)

    def pause_writing(self) -> None:
        self._clogged = self.loop.create_future()

    def resume_writing(self) -> None:
        if self._clogged is not None and not self._clogged.done():
            self._clogged.set_result(None)
        self._clogged = None

    # What a session adds.

    async def step(self) -> None:
        """Read one command and answer it. Raises Gone when the client has left."""
        raise NotImplementedError

    async def stumble(self) -> None:
        """Answer an error of our own."""
        raise NotImplementedError

    # Its clock.

    def expect(self, awaits: Awaits) -> None:
        """Say what the client must do next, which starts its time anew."""
        watch = self.watch
        watch.turn(awaits, self.loop.time())
        if self._clock is not None:
            self._clock.by(watch.due)

    def start_clock(self) -> None:
        """Hold the client to its times from now on; a session that is fresh has broken none yet."""
        self._clock = Lookout(self.loop, self._look)
        self._clock.by(self.watch.due)

    def _stop_clock(self) -> None:
        self.door.fresh.drop(self)
        if self._clock is not None:
            self._clock.end()

    def _look(self, now: float) -> float:
        reply = self.watch.late(now)
        if reply is not None:
            log.info("cut off", session=self.client.session, ip=self.client.ip, reply=reply.text)
            self.hang_up(reply)
        return self.watch.due

    # Replies, and the end.

    async def say(self, wire: bytes) -> None:
        """Write a reply, at the pace of its reader. Raises Gone when there is none."""
        if self.over or self.transport.is_closing():
            raise Gone
        self.transport.write(wire)
        if self._clogged is not None:
            self.expect(Awaits.COMMAND)
            await self._clogged

    def hang_up(self, reply: Reply | None = None) -> None:
        """Say a last word and close.

        Octets that nobody read would turn the close into a reset, and the last word would be lost: they are read and
        dropped for a moment, until the client closes too.
        """
        if self.over:
            return
        self.over = True
        self._stop_clock()
        if self._plain is self.transport:  # TLS is being made: nothing can be said
            self.transport.abort()
            return
        if reply is not None:
            self.transport.write(reply.wire)
            self.door.refusals.labels(str(reply.code)).inc()
        self.reader.drop()
        self.reader.feed_eof()
        self.door.leaving.add(self)
        if reply is None or not self._half_close():
            self.transport.close()

    def _half_close(self) -> bool:
        if self._plain is not None or not self.transport.can_write_eof():
            return False
        with suppress(OSError):  # gone already
            self.transport.write_eof()
        return True

    # Its beginning.

    async def open(self) -> None:
        """Find out who is there, cover with TLS where it is implicit, greet."""
        peer = (self.client.ip, self.client.port)
        if self.door.proxies and proxy.named(peer[0], self.door.proxies):
            peer = await self._proxied(peer)
        if not self.over and self._claim(*peer):
            if self.door.implicit:
                await self.cover()
            await self._greet()

    async def _proxied(self, peer: tuple[str, int]) -> tuple[str, int]:
        try:
            ip, port = await proxy.read_header(self.reader, peer)
            return bare_ip(ip), port
        except proxy.BadHeader as error:
            log.warning("bad PROXY header", ip=peer[0], listener=self.door.name, why=replies.printable(str(error)))
            self.hang_up(None if self.door.implicit else replies.NO_PROXY)
            return peer
        except OSError as error:
            raise Gone from error

    def _claim(self, ip: str, port: int) -> bool:
        if ip != self.client.ip or port != self.client.port:
            self.client = msgspec.structs.replace(self.client, ip=ip, port=port)
        refusal = self.door.throttle.claim(ip)
        if refusal is None:
            self._claimed = ip
            return True
        log.info("turned away", ip=ip, listener=self.door.name, reply=refusal.text)
        self.hang_up(None if self.door.implicit else refusal)
        return False

    async def _greet(self) -> None:
        # Two turns of the loop: what a client sent without waiting for the greeting has been read by then.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if self.reader.holds:
            early = self.reader.pending
            self.hang_up(replies.NOT_SMTP if foreign(early) else replies.OUT_OF_SYNC)
            log.info("early talker", session=self.client.session, ip=self.client.ip)
            return
        self._greeted = True
        await self.say(self.door.greeting.wire)

    async def cover(self) -> None:
        """Lay TLS over the connection; what stood in the clear is forgotten. Raises Gone."""
        if self.door.context is None:
            raise Gone
        self._plain = self.transport
        early = self.reader.drop() if self.door.implicit else b""
        try:
            await tls.cover(self._plain, self, self.door.context, early)
        except OSError as error:
            log.info("TLS failed", session=self.client.session, ip=self.client.ip, why=replies.printable(str(error)))
            self._plain.abort()
            raise Gone from error
        if self.transport is self._plain:  # it was cut off before TLS stood
            raise Gone
        self.client = msgspec.structs.replace(self.client, tls=tls.describe(self.transport), helo="", esmtp=False)

    # What the client says.

    async def next_line(self) -> bytes:
        """Return the next line with its end, b"" when there will be none."""
        self.expect(Awaits.COMMAND)
        try:
            line = await self.reader.line()
        except OSError as error:
            raise Gone from error
        self.watch.rest()
        return b"" if self.over else line

    async def next_chunk(self) -> bytes:
        """Return octets of a mail. Raises Gone when the client leaves before its end."""
        try:
            chunk = await self.reader.chunk()
        except OSError as error:
            raise Gone from error
        if not chunk or self.over:
            raise Gone
        self.watch.heard(len(chunk))
        return chunk
