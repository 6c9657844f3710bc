"""Opens connections to next hops: greeting, EHLO, TLS as the transport asks for it, sign-in where there is one."""

import asyncio
import datetime
import ssl

import aiosmtplib
import msgspec

from gatepost.mailauth import dane
from gatepost.model.route import Terms, Transport
from gatepost.mta.outcome import own, said
from gatepost.mta.routing import Target
from gatepost.mta.security import By
from gatepost.mta.wire import Client, Fault, Session, Unusable, fault, reason
from gatepost.settings import Relay, SettingsError

_NO_TERMS = Terms("")
_METHODS = {"cram-md5": Client.auth_crammd5, "plain": Client.auth_plain, "login": Client.auth_login}
_DER = 2  # _ssl.ENCODING_DER


class Contexts:
    """The TLS settings of outgoing connections, made once when first needed: loading authorities takes time."""

    def __init__(self, ca_file: str) -> None:
        """Raise SettingsError where `ca_file` holds no certificates."""
        self._ca_file = ca_file or None
        check_authorities(ca_file)
        self._verified: dict[bool, ssl.SSLContext] = {}  # by whether names are checked too
        self._unverified: ssl.SSLContext | None = None

    async def of(self, transport: Transport, target: Target) -> ssl.SSLContext | None:
        """Return the context for a transport to a target, None for a plain one."""
        if transport is Transport.SMTP:
            return None
        terms = target.terms or _NO_TERMS
        by = target.demand.by if target.demand else None
        trusted = transport is Transport.SMTPS_MAY or not {"*", target.host.lower()}.isdisjoint(terms.trust)
        if by is By.DANE or (trusted and by is not By.SENDER):
            self._unverified = self._unverified or _unverified()
            return self._unverified
        check_name = terms.check_name or by is By.SENDER
        if check_name not in self._verified:
            context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
            context.check_hostname = check_name
            self._verified[check_name] = context
        return self._verified[check_name]


async def open_session(target: Target, settings: Relay, hostname: str, contexts: Contexts) -> Session:
    """Connect, greet and secure; raise Unusable. SMTPS_MAY falls back to plain text once where TLS fails, unless the
    target's domain asks for more; what it asks for without enforcing it is tried first."""
    if target.demand is None:
        return await _as_offered(target, settings, hostname, contexts)
    try:
        session = await _open(target, Transport.SMTPS_ENCRYPT, settings, hostname, contexts)
        session.fault = None if target.demand.named else Fault.OTHER
        return session
    except Unusable as error:
        if error.fault is None or target.demand.enforced:
            raise
        fault = error.fault
    session = await _as_offered(msgspec.structs.replace(target, demand=None), settings, hostname, contexts)
    session.target, session.fault = target, fault
    return session


async def _as_offered(target: Target, settings: Relay, hostname: str, contexts: Contexts) -> Session:
    try:
        session = await _open(target, target.transport, settings, hostname, contexts)
        if session.tls is None and target.transport is not Transport.SMTP:
            session.fault = Fault.NOT_OFFERED
        return session
    except Unusable as error:
        if error.fault is None or target.transport is not Transport.SMTPS_MAY or target.implicit_tls:
            raise
        fault = error.fault
    session = await _open(target, Transport.SMTP, settings, hostname, contexts)
    session.fault = fault
    return session


async def _open(target: Target, transport: Transport, settings: Relay, hostname: str, contexts: Contexts) -> Session:
    terms = target.terms or _NO_TERMS
    settings = _limited(settings, terms)
    client = Client(target, settings, terms.local_name or hostname)
    try:
        context = await contexts.of(transport, target)
        client.context = context if target.implicit_tls else None
        await client.connect()
        await _greet(client)
        if context is not None and client.context is None:
            await _secure(client, target, transport, context)
        _check_demand(client, target)
        if terms.username:
            await _sign_in(client, target, terms)
        return Session(target, client, settings)
    except aiosmtplib.SMTPResponseException as error:
        client.close()
        reply = said(error.code, error.message) if 400 <= error.code < 600 else reason(error, target)
        raise Unusable(reply, busy=error.code == 421) from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
        client.close()
        raise Unusable(reason(error, target), fault=fault(error), lasting=isinstance(error, ssl.SSLError)) from error
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
            refusal = own("4.7.4", f"{target.text} does not offer TLS, which is required")
            raise Unusable(refusal, fault=Fault.NOT_OFFERED, lasting=True)
        return
    try:
        named = target.demand.names[0] if target.demand and target.demand.names else None  # RFC 7672 8.1
        (named or target.host).encode("idna")  # as ssl does, in whose midst an error would be the loop's affair
        await client.starttls(server_hostname=named, tls_context=context)
        if not client.pipe.clean:  # said in the clear, by whoever: it must answer nothing under TLS (RFC 3207 4.2)
            raise aiosmtplib.SMTPResponseException(-1, "more than one reply to STARTTLS")
    except (aiosmtplib.SMTPException, OSError, TimeoutError, UnicodeError) as error:
        raise _failed(client, target, error) from error
    try:
        await _greet(client)
    except (aiosmtplib.SMTPServerDisconnected, OSError) as error:  # by TLS 1.3 a server refuses a client only now
        raise _failed(client, target, error) from error


def _failed(client: Client, target: Target, error: BaseException) -> Unusable:
    """Close what TLS failed on; return what to raise."""
    client.close()
    refusal, lasting = reason(error, target, status="4.7.5"), isinstance(error, ssl.SSLError)
    return Unusable(refusal, fault=fault(error) or Fault.OTHER, lasting=lasting)


def _check_demand(client: Client, target: Target) -> None:
    """Hold the server's certificates to the TLSA records that ask for it; raise Unusable."""
    if target.demand is None or not target.demand.records:
        return
    try:
        dane.prove(_chain(client), target.demand.records, target.demand.names, datetime.datetime.now(datetime.UTC))
    except dane.Unproven as error:
        client.close()
        refusal = own("4.7.5", f"DANE: {target.text}: {error}")
        raise Unusable(refusal, fault=Fault.OTHER, lasting=True) from error


def _chain(client: Client) -> list[bytes]:
    """The certificates that the server showed, DER, its own first."""
    secured = client.get_transport_info("ssl_object")
    if hasattr(secured, "get_unverified_chain"):  # Python 3.13
        return list(secured.get_unverified_chain())
    shown = secured._sslobj.get_unverified_chain() or ()  # the same, before it had a public name
    return [each.public_bytes(_DER) for each in shown]


async def _sign_in(client: Client, target: Target, terms: Terms) -> None:
    if not client.supports_extension("auth"):
        raise Unusable(own("4.7.0", f"{target.text} offers no sign-in, which is required"))
    refusal = Unusable(own("4.7.0", f"{target.text} offers no sign-in that is known here"))
    for method in client.supported_auth_methods:
        try:
            await _METHODS[method](client, terms.username, terms.password)
        except aiosmtplib.SMTPAuthenticationError as error:
            if 400 <= error.code < 500:  # not now: no other way to sign in is better
                raise
            refusal = Unusable(said(error.code, error.message))
        else:
            return
    raise refusal


def _limited(settings: Relay, terms: Terms) -> Relay:
    """Return the limits for one server: its own where they are stricter."""
    reply = terms.read_timeout or settings.data_timeout
    return msgspec.structs.replace(
        settings,
        connect_timeout=min(terms.connect_timeout or settings.connect_timeout, settings.connect_timeout),
        command_timeout=min(reply, settings.command_timeout),
        data_timeout=min(reply, settings.data_timeout),
    )


def _unverified() -> ssl.SSLContext:
    """TLS against listeners-in alone: who answers is not checked (contract 5, SMTPS_MAY)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def check_authorities(ca_file: str, key: str = "relay.ca_file") -> None:
    """Raise SettingsError, naming the setting `key`, where a file is set that holds no certificates."""
    if not ca_file:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(f"{key}: {ca_file}: {error.strerror or error}") from error
