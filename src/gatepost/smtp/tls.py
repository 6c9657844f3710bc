"""TLS for listeners: contexts from PEM files, and the layer laid over a connection that began in the clear."""

import asyncio
import ssl
from asyncio import sslproto

from gatepost.certificates import load_certificate
from gatepost.settings import Listener, SettingsError, Smtp

HANDSHAKE = 30  # seconds


def context(smtp: Smtp, listener: Listener) -> ssl.SSLContext | None:
    """Return the context of a listener, None where TLS is off or no certificate is set. Raises SettingsError."""
    certificate = listener.certificate or smtp.certificate
    key = listener.key or smtp.key or None
    if listener.certificate and not listener.key:
        key = None  # its own file holds both
    if listener.tls == "none":
        return None
    if not certificate:
        if listener.tls == "implicit":
            raise SettingsError(f"smtp.listener {listener.listen}: tls = implicit needs a certificate")
        if key:
            raise SettingsError(f"smtp.listener {listener.listen}: there is a key for it, and no certificate")
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        load_certificate(made, certificate, key)
    except OSError as error:
        raise SettingsError(f"smtp.listener {listener.listen}: certificate {certificate}: {error}") from error
    return made


class Layer(sslproto.SSLProtocol):
    """asyncio's TLS layer with a read buffer of one record, not 256 KB for each idle connection.

    It reads nothing from a peer that does not read: TLS itself has answers too, such as one to each key update that
    asks for another (RFC 8446 4.6.3), and no protocol above waits before it gives them.
    """

    # asyncio's names of what it waits for and reads by (3.11 to 3.14).
    _transport: asyncio.Transport
    _ssl_reading_paused: bool
    _ssl_writing_paused: bool

    max_size = 16_384  # RFC 8446 5.1

    def pause_writing(self) -> None:
        super().pause_writing()
        if not self._ssl_reading_paused:
            self._ssl_reading_paused = True
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._control_ssl_reading()

    def _control_ssl_reading(self) -> None:
        if not self._ssl_writing_paused:
            super()._control_ssl_reading()  # type: ignore[misc]  # in no stub


async def cover(
    transport: asyncio.Transport, protocol: asyncio.Protocol, context: ssl.SSLContext, early: bytes = b""
) -> None:
    """Lay TLS over a connection; `protocol` gets a second `connection_made` with the new transport when it stands.

    `early` are octets of the handshake that were read already. Raises OSError (ssl.SSLError) when the handshake fails.
    """
    # The loop's own start_tls takes no octets that were read already, and they come behind a PROXY header.
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    layer = Layer(loop, protocol, context, done, server_side=True, ssl_handshake_timeout=HANDSHAKE)
    transport.set_protocol(layer)
    layer.connection_made(transport)
    _feed(layer, early)
    await done


def _feed(layer: asyncio.BufferedProtocol, data: bytes) -> None:
    while data:
        room = memoryview(layer.get_buffer(len(data)))
        count = min(len(room), len(data))
        room[:count] = data[:count]
        layer.buffer_updated(count)
        data = data[count:]


def describe(transport: asyncio.BaseTransport) -> str:
    """Return the words of a Received header for a connection's TLS."""
    session = transport.get_extra_info("ssl_object")
    cipher, _, bits = session.cipher()
    return f"{session.version()} with cipher {cipher} ({bits}/{bits} bits)"
