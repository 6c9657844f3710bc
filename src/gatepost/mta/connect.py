"""Opens connections to next hops: greeting, EHLO, and TLS as the transport asks for it."""

import asyncio
import ssl

import aiosmtplib

from gatepost.model.route import Transport
from gatepost.mta.outcome import own, said
from gatepost.mta.routing import IMPLICIT_TLS_PORT, Target
from gatepost.mta.wire import Client, Session, Unusable, reason
from gatepost.settings import Relay, SettingsError


class Contexts:
    """The TLS settings of outgoing connections, made once when first needed: loading authorities takes time."""

    def __init__(self, ca_file: str) -> None:
        """Raise SettingsError where `ca_file` holds no certificates."""
        self._ca_file = ca_file or None
        if ca_file:
            _check(ca_file)
        self._verified: ssl.SSLContext | None = None
        self._unverified: ssl.SSLContext | None = None

    async def of(self, transport: Transport) -> ssl.SSLContext | None:
        """Return the context for a transport, None for a plain one."""
        if transport is Transport.SMTP:
            return None
        if transport is Transport.SMTPS_MAY:
            self._unverified = self._unverified or _unverified()
            return self._unverified
        if self._verified is None:
            self._verified = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        return self._verified


async def open_session(target: Target, settings: Relay, hostname: str, contexts: Contexts) -> Session:
    """Connect, greet and secure; raise Unusable. SMTPS_MAY falls back to plain text once where TLS fails."""
    try:
        return await _open(target, target.transport, settings, hostname, contexts)
    except Unusable as error:
        implicit = target.port == IMPLICIT_TLS_PORT
        if not error.tls or target.transport is not Transport.SMTPS_MAY or implicit:
            raise
    return await _open(target, Transport.SMTP, settings, hostname, contexts)


async def _open(target: Target, transport: Transport, settings: Relay, hostname: str, contexts: Contexts) -> Session:
    client = Client(target, settings, hostname)
    try:
        context = await contexts.of(transport)
        client.context = context if target.port == IMPLICIT_TLS_PORT else None
        await client.connect()
        await _greet(client)
        if context is not None and client.context is None:
            await _secure(client, target, transport, context)
        return Session(target, client, settings)
    except aiosmtplib.SMTPResponseException as error:
        client.close()
        reply = said(error.code, error.message) if 200 <= error.code < 600 else reason(error, target)
        raise Unusable(reply, busy=error.code == 421) from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
        client.close()
        raise Unusable(reason(error, target), tls=isinstance(error, ssl.SSLError)) from error
    except BaseException:
        client.close()
        raise


async def _greet(client: Client) -> None:
    try:
        await client.ehlo()
    except aiosmtplib.SMTPHeloError as error:
        if error.code == 421:
            raise
        await client.helo()  # an old server (RFC 5321 3.2)


async def _secure(client: Client, target: Target, transport: Transport, context: ssl.SSLContext) -> None:
    if not client.supports_extension("starttls"):
        if transport is Transport.SMTPS_ENCRYPT:
            raise Unusable(own("4.7.4", f"{target.text} does not offer TLS, which is required"))
        return
    try:
        await client.starttls(tls_context=context)
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        client.close()
        raise Unusable(reason(error, target, status="4.7.5"), tls=True) from error
    await _greet(client)


def _unverified() -> ssl.SSLContext:
    """TLS against listeners-in alone: who answers is not checked (contract 5, SMTPS_MAY)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _check(ca_file: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"relay.ca_file: {ca_file}: {error.strerror or error}") from error
