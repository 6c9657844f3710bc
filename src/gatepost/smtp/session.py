"""The SMTP session: which command may come when, and what it is answered."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from gatepost.events import log
from gatepost.model.envelope import Role
from gatepost.model.problem import Kind, Problem
from gatepost.smtp import replies
from gatepost.smtp.connection import Connection
from gatepost.smtp.data import DataReader
from gatepost.smtp.door import BUDGET_PATIENCE, Door
from gatepost.smtp.handler import Incoming, Transaction
from gatepost.smtp.parameters import (
    NO_OPTIONS,
    MailOptions,
    mail_options,
    rcpt_options,
    recipient_path,
    sender_path,
)
from gatepost.smtp.replies import Refusal, Reply
from gatepost.smtp.throttle import Awaits, Share
from gatepost.smtp.wire import HTTP_VERBS, RESPONSE_MAX, flaw, read_command

HELO_MAX = 255  # RFC 5321 4.5.3.1.2


class Session(Connection):
    """A connection that speaks SMTP (RFC 5321 with 1870, 2034, 2920, 3207, 3461, 4954, 6152, 6531)."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(door, loop)
        self.mail: Transaction | None = None

    async def step(self) -> None:
        line = await self.next_line()
        if not line:
            self.hang_up()
            return
        read = read_command(line)
        reply = self._misread(read) if isinstance(read, Reply) else await self._run(*read)
        if reply is None or self.over:
            return
        if self.conduct.spent:
            self._send_away()
        else:
            await self.say(reply.wire)

    async def stumble(self) -> None:
        """Have the mail tried again; the session goes on where it can."""
        if self.watch.awaits is Awaits.DATA:
            self.hang_up(replies.BROKEN)  # what follows is no command
            return
        self.mail = None
        self.door.refusals.labels(str(replies.LOCAL_ERROR.code)).inc()
        await self.say(replies.LOCAL_ERROR.wire)

    async def _run(self, verb: bytes, argument: str) -> Reply | None:
        command = COMMANDS.get(verb)
        if command is None:
            return self._unknown(verb)
        if verb in JUNK:
            self.conduct.junk += 1
        try:
            return await command(self, argument)
        except Refusal as refusal:
            return self._refused(verb, argument, refusal)
        except Problem as problem:
            return await self._failed(verb, argument, problem)

    # What a refusal entails.

    def _misread(self, reply: Reply) -> Reply:
        self.conduct.errors += 1
        if reply is replies.LINE_TOO_LONG:
            self.conduct.long_lines += 1
        self._note(b"", "", reply)
        return reply

    def _unknown(self, verb: bytes) -> Reply | None:
        if verb in HTTP_VERBS:
            self.hang_up(replies.NOT_SMTP)
            return None
        return self._refused(verb, "", Refusal(replies.UNKNOWN, final=verb == b"PROXY"))

    def _refused(self, verb: bytes, argument: str, refusal: Refusal) -> Reply | None:
        if self.conduct.excuses(verb, refusal.reply):
            self.door.refusals.labels(str(refusal.reply.code)).inc()
            return refusal.reply
        if refusal.reply.code >= 500:
            self.conduct.errors += 1
        self._note(verb, argument, refusal.reply)
        if refusal.final:
            self.hang_up(refusal.reply)
            return None
        return refusal.reply

    async def _failed(self, verb: bytes, argument: str, problem: Problem) -> Reply:
        reply = replies.of(problem)
        if problem.kind is Kind.UNAUTHENTICATED:
            self.conduct.guesses += 1
        elif problem.kind is Kind.UNKNOWN_USER:
            self.conduct.unknown += 1
        elif reply.code >= 500:
            self.conduct.errors += 1
        self._note(verb, argument, reply, problem)
        if problem.kind is Kind.UNKNOWN_USER:
            await asyncio.sleep(self.door.throttle.drag(self.client.ip))
        return reply

    def _note(self, verb: bytes, argument: str, reply: Reply, problem: Problem | None = None) -> None:
        self.door.refusals.labels(str(reply.code)).inc()
        self.conduct.refused(verb, reply)
        log.info(
            "refused",
            session=self.client.session,
            ip=self.client.ip,
            command=replies.printable(verb.decode("latin-1"), 20),
            argument="" if verb == b"AUTH" else replies.printable(argument),
            reply=reply.text,
            **({key: replies.printable(str(value)) for key, value in problem.context.items()} if problem else {}),
        )

    def _send_away(self) -> None:
        if self.conduct.harvests:
            self.door.throttle.harvested(self.client.ip)
        log.info("sent away", session=self.client.session, ip=self.client.ip)
        self.hang_up(replies.TOO_MANY_ERRORS)

    # The beginning of a session.

    async def helo(self, name: str) -> Reply:
        """HELO."""
        self._hello(name, esmtp=False)
        return self.door.hello

    async def ehlo(self, name: str) -> None:
        """EHLO."""
        self._hello(name, esmtp=True)
        await self.say(self.door.extensions_secure if self.client.tls else self.door.extensions_plain)

    def _hello(self, name: str, *, esmtp: bool) -> None:
        self._in_step()
        if not name:
            raise Refusal(replies.NEEDS_NAME)
        if len(name) > HELO_MAX:
            raise Refusal(replies.BAD_NAME)
        self.mail = None
        self.client = msgspec.structs.replace(self.client, helo=replies.printable(name), esmtp=esmtp)

    def _in_step(self) -> None:
        """These commands end a pipelined group (RFC 2920 3.1): nothing may have been sent behind them yet."""
        if self.reader.holds:
            raise Refusal(replies.OUT_OF_SYNC, final=True)

    async def starttls(self, argument: str) -> None:
        """STARTTLS (RFC 3207)."""
        if argument:
            raise Refusal(replies.NO_ARGUMENT)
        if self.client.tls:
            raise Refusal(replies.TLS_ALREADY)
        if self.door.context is None:
            raise Refusal(replies.NO_TLS)
        self._in_step()
        self.mail = None
        await self.say(replies.START_TLS.wire)
        await self.cover()

    async def sign_in(self, argument: str) -> Reply | None:
        """AUTH (RFC 4954)."""
        self._may_sign_in()
        if not argument:
            raise Refusal(replies.NEEDS_ARGUMENT)
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() not in self.door.mechanisms:
            raise Refusal(replies.AUTH_UNKNOWN)
        self.client = await self.door.handler.sign_in(self.client, mechanism, initial, self.ask)
        return replies.SIGNED_IN

    def _may_sign_in(self) -> None:
        if not self.door.signs_in:
            raise Refusal(replies.OFF)
        if not self.client.tls:
            raise Refusal(replies.AUTH_NEEDS_TLS)
        if not self.client.esmtp:
            raise Refusal(replies.HELLO_FIRST)
        if self.client.login is not None:
            raise Refusal(replies.AUTH_ALREADY)
        if self.mail is not None:
            raise Refusal(replies.AUTH_IN_MAIL)
        if self.conduct.guesses >= self.door.limits.auth_failures:
            raise Refusal(replies.TOO_MANY_GUESSES, final=True)

    async def ask(self, challenge: bytes) -> bytes:
        """Send a challenge and return the line that answers it. Raises Refusal."""
        await self.say(b"334 " + challenge + b"\r\n")
        line = await self.next_line()
        if not line:
            raise Refusal(replies.AUTH_GIVEN_UP, final=True)
        wrong = flaw(line, RESPONSE_MAX)
        if wrong is not None:
            raise Refusal(wrong)
        return line[:-2]

    # A mail.

    async def mail_from(self, argument: str) -> Reply:
        """MAIL."""
        self._may_mail()
        sender, rest = sender_path(argument)
        options = self._mail_options(rest) if self._takes_options(rest) else NO_OPTIONS
        if not (options.smtputf8 or argument.isascii()):
            raise Refusal(replies.NEEDS_SMTPUTF8)
        if self.door.role is Role.TRUSTED:
            self.client = await self.door.handler.placed(self.client, sender)
        self.mail = await self.door.handler.begin(self.client, sender, options)
        return replies.SENDER_OK

    def _mail_options(self, rest: str) -> MailOptions:
        options = mail_options(rest, dsn=self.door.dsn, requiretls=self.door.requiretls)
        if options.requires_tls and not self.client.tls:
            raise Refusal(replies.REQUIRETLS_NEEDS_TLS)
        return options

    def _may_mail(self) -> None:
        if not self.client.helo:
            raise Refusal(replies.HELLO_FIRST)
        if self.door.signs_in and not self.client.tls:
            raise Refusal(replies.NEEDS_TLS)
        if self.door.signs_in and self.client.login is None:
            raise Refusal(replies.NEEDS_AUTH)
        if self.mail is not None:
            raise Refusal(replies.NESTED)

    def _takes_options(self, rest: str) -> bool:
        if rest and not self.client.esmtp:
            raise Refusal(replies.NO_OPTIONS)
        return bool(rest)

    async def rcpt_to(self, argument: str) -> Reply:
        """RCPT."""
        mail = self._open_mail()
        if not (mail.options.smtputf8 or argument.isascii()):
            raise Refusal(replies.NEEDS_SMTPUTF8)
        address, rest = recipient_path(argument)
        if address is None:
            raise Refusal(replies.NO_RECIPIENT)
        dsn = mail.options.dsn
        if self._takes_options(rest):
            dsn = rcpt_options(rest, dsn, dsn=self.door.dsn, smtputf8=mail.options.smtputf8)
        await self.door.handler.name(self.client, mail, address, dsn)
        return replies.RECIPIENT_OK

    def _open_mail(self) -> Transaction:
        if not self.client.helo:
            raise Refusal(replies.HELLO_FIRST)
        if self.mail is None:
            raise Refusal(replies.MAIL_FIRST)
        return self.mail

    async def data(self, argument: str) -> Reply:
        """DATA."""
        self._in_step()
        if argument:
            raise Refusal(replies.NO_ARGUMENT)
        mail = self._open_mail()
        if not mail.recipients:
            raise Refusal(replies.RCPT_FIRST)
        share = Share(self.door.budget, self.door.cut)
        try:
            await share.claim(mail.options.size, BUDGET_PATIENCE)
        except TimeoutError:
            raise Refusal(replies.NO_SPACE) from None
        try:
            return await self._receive(self.door.handler.open(self.client, mail), share)
        finally:
            share.release()

    async def _receive(self, incoming: Incoming, share: Share) -> Reply:
        try:
            await self.say(replies.GO_ON.wire)
            await self._read_mail(incoming, share)
            self.door.handler.hold(self.client)  # the data may have taken hours
        except BaseException:
            incoming.drop()
            raise
        finally:
            self.mail = None
        self.watch.rest()
        reply = await incoming.receive()
        if reply.refuses:
            self.door.refusals.labels(str(reply.code)).inc()
        else:
            self.conduct.delivered()
        return reply

    async def _read_mail(self, incoming: Incoming, share: Share) -> None:
        """Read to the end of a mail, however faulty it is; raise Refusal for a faulty one.

        What came right behind a faulty mail is not run, for it may be part of that mail to those who sent it on
        (threat 1: a NUL before a true end): the connection ends there.
        """
        limits = self.door.limits
        into = DataReader(
            incoming.draft,
            size=limits.message_bytes,
            line=limits.body_line,
            received=limits.received_headers,
            normalise=self.door.normalise,
        )
        self.expect(Awaits.DATA)
        rest = None
        while rest is None:
            rest = into.feed(await self.next_chunk())
            if into.fault is None and not share.grow(into.size):
                into.leave_memory()
            if into.fault is not None:
                incoming.drop()
                share.release()
        self.reader.unread(rest)
        if into.fault is not None:
            incoming.refused(into.fault)
            raise Refusal(into.fault, final=bool(rest))

    async def bdat(self, argument: str) -> Reply:
        """BDAT: CHUNKING is not offered; a chunk that came along all the same must not be read as commands."""
        raise Refusal(replies.OFF, final=self.reader.holds)

    # The rest.

    async def rset(self, argument: str) -> Reply:
        """RSET."""
        if argument:
            raise Refusal(replies.NO_ARGUMENT)
        self.mail = None
        return replies.OK

    async def noop(self, argument: str) -> Reply:
        """NOOP."""
        return replies.OK

    async def help(self, argument: str) -> Reply:
        """HELP."""
        return replies.COMMANDS

    async def vrfy(self, argument: str) -> Reply:
        """VRFY: the same for every address, so that nobody learns which exist."""
        if not argument:
            raise Refusal(replies.NEEDS_ARGUMENT)
        return replies.CANNOT_VERIFY

    async def quit(self, argument: str) -> None:
        """QUIT."""
        if argument:
            raise Refusal(replies.NO_ARGUMENT)
        await self.say(replies.BYE.wire)
        self.hang_up()

    async def off(self, argument: str) -> Reply:
        """A command that RFC 5321 knows and this server does not run."""
        raise Refusal(replies.OFF)


Command = Callable[[Session, str], Awaitable[Reply | None]]

COMMANDS: dict[bytes, Command] = {
    b"HELO": Session.helo,
    b"EHLO": Session.ehlo,
    b"STARTTLS": Session.starttls,
    b"AUTH": Session.sign_in,
    b"MAIL": Session.mail_from,
    b"RCPT": Session.rcpt_to,
    b"DATA": Session.data,
    b"BDAT": Session.bdat,
    b"RSET": Session.rset,
    b"NOOP": Session.noop,
    b"HELP": Session.help,
    b"VRFY": Session.vrfy,
    b"QUIT": Session.quit,
    **dict.fromkeys((b"EXPN", b"TURN", b"ETRN", b"ATRN", b"SEND", b"SOML", b"SAML"), Session.off),
}
JUNK = frozenset((b"NOOP", b"RSET", b"VRFY", b"HELP"))
