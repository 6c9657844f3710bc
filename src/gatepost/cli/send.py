"""`gatepost send`: hands a mail to any SMTP server and shows the dialog, for trying things out."""

import mimetypes
import os
import secrets
import smtplib
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO

import click

from gatepost.cli.failure import Failure, cause
from gatepost.cli.options import password_option, split_host
from gatepost.cli.output import clean
from gatepost.events import wall_clock
from gatepost.message.compose import Attachment, Letter, Party, compose
from gatepost.model.address import BadAddress, parse_address

SECONDS = 60.0


class _Shown:
    """Shows what a client says and hears; secrets are left out."""

    show: Callable[[str], object] = click.echo
    secret = False

    def putcmd(self, cmd: str, args: str = "") -> None:
        said = f"{cmd} {args}".rstrip()
        type(self).show(f" -> {'(sign-in)' if self.secret else clean(said)}")
        super().putcmd(cmd, args)  # type: ignore[misc]

    def getreply(self) -> tuple[int, bytes]:
        code, text = super().getreply()  # type: ignore[misc]
        for line in text.decode(errors="replace").split("\n"):
            type(self).show(f"<-  {code} {clean(line)}")
        return code, text


class _Announced(smtplib.SMTP):
    """Says at first, in a PROXY header (v1), that it speaks for the client at `origin`."""

    origin: str | None = None

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        if self.origin:
            sock.sendall(proxy_header(self.origin, sock))
        return sock


class Client(_Shown, _Announced):
    """A client that begins in plain text."""


class TlsClient(_Shown, smtplib.SMTP_SSL, _Announced):
    """A client that begins with TLS."""


@click.command()
@click.option("--server", default="127.0.0.1:2525", show_default=True, metavar="HOST[:PORT]", help="The server.")
@click.option("--from", "sender", default="sender@example.org", show_default=True, help="MAIL FROM; empty or <>: null.")
@click.option("--to", "recipients", multiple=True, required=True, help="RCPT TO; may be given several times.")
@click.option("--subject", default="A mail to try things out", show_default=True, help="The subject.")
@click.option("--body", default="Hello.\n", help="The text; - reads it from the standard input.")
@click.option("--data", type=click.File("rb"), help="A whole mail to send as it is; - reads the standard input.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A further header.")
@click.option(
    "--attach",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file to attach; may be given several times.",
)
@click.option("--helo", help="The name to greet with.")
@click.option("--proxy", metavar="IP", help="Begin with a PROXY header that names this client, as a proxy does.")
@click.option(
    "--tls",
    type=click.Choice(["none", "starttls", "implicit"]),
    default="none",
    show_default=True,
    help="How TLS begins: not at all, by STARTTLS, or with the connection.",
)
@click.option("--tls-verify/--no-tls-verify", default=True, show_default=True, help="Check the server's certificate.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file with the authorities to trust; else the system's.",
)
@click.option("--auth-user", help="Sign in as this address.")
@password_option
@click.option("--quiet", is_flag=True, help="Show only the last reply.")
def command(
    server: str,
    sender: str,
    recipients: Sequence[str],
    data: BinaryIO | None,
    helo: str | None,
    proxy: str | None,
    tls: str,
    tls_verify: bool,
    ca_file: Path | None,
    auth_user: str | None,
    password: str | None,
    quiet: bool,
    **content: Any,
) -> None:
    """Send a mail to a server and show the dialog.

    The exit code says what became of it: 0 accepted for every recipient, 65 refused (5xx), 75 try later (4xx),
    69 no server, 76 the server does not speak SMTP or TLS as asked.
    """
    sender = sender.strip("<>")
    mail = data.read() if data else letter(sender, recipients, **content)
    kind: type[Client] | type[TlsClient] = TlsClient if tls == "implicit" else Client
    context = None if tls == "none" else _context(ca_file, tls_verify)
    shown = type("Shown", (kind,), {"show": staticmethod(_silent if quiet else _say), "origin": _ip(proxy)})
    try:
        with connect(shown, server, helo, context) as client:
            if tls == "starttls":
                client.starttls(context=context)
            if auth_user:
                _sign_in(client, auth_user, password or "")
            code, text = hand_over(client, sender, recipients, mail)
    except smtplib.SMTPResponseException as error:
        code, text = error.smtp_code, _octets(error.smtp_error).decode(errors="replace")
        if code < 400:  # such as -1, where what came is no reply
            raise Failure(f"{server}: this is no SMTP: {clean(text)}", os.EX_PROTOCOL) from error
    except ssl.SSLCertVerificationError as error:
        choice = "--ca-file names other authorities, --no-tls-verify asks none"
        text = f"{server}: its certificate is not trusted: {clean(error.verify_message)} ({choice})"
        raise Failure(text, os.EX_PROTOCOL) from error
    except (smtplib.SMTPException, ssl.SSLError, UnicodeError) as error:
        raise Failure(f"{server}: {clean(error)}", os.EX_PROTOCOL) from error
    except ValueError as error:  # a line end in what goes into a command
        raise Failure(clean(error), os.EX_USAGE) from error
    except OSError as error:
        raise Failure(f"{server}: {cause(error)}", os.EX_UNAVAILABLE) from error
    if quiet:
        click.echo(f"{code} {clean(text)}")
    if code >= 400:
        raise click.exceptions.Exit(os.EX_TEMPFAIL if code < 500 else os.EX_DATAERR)


def connect(kind: Any, server: str, helo: str | None = None, context: ssl.SSLContext | None = None) -> Any:
    """Open a client to "host:port" whose banner has been read."""
    host, port = split_host(server, 25)
    named = {"context": context} if context and issubclass(kind, smtplib.SMTP_SSL) else {}
    return kind(host, port, local_hostname=helo, timeout=SECONDS, **named)


def proxy_header(origin: str, sock: socket.socket) -> bytes:
    """Return the header for a connection (PROXY protocol 2.1); both addresses are of one family."""
    peer, port = sock.getpeername()[:2]
    family = ip_address(origin).version
    server = peer if ip_address(peer).version == family else origin
    return f"PROXY TCP{family} {origin} {server} {sock.getsockname()[1]} {port}\r\n".encode()


def _ip(text: str | None) -> str | None:
    try:
        return str(ip_address(text)) if text else None
    except ValueError as error:
        raise Failure(f"--proxy: {text!r} is no IP address", os.EX_USAGE) from error


def hand_over(client: smtplib.SMTP, sender: str, recipients: Sequence[str], mail: bytes) -> tuple[int, str]:
    """Send one mail; return the gravest reply: a refused command's or recipient's, else the one after the data."""
    client.ehlo_or_helo_if_needed()
    wants = [f"size={len(mail)}"] if client.has_extn("size") else []
    if not all(map(str.isascii, [sender, *recipients])):
        wants.append("smtputf8")
        client.command_encoding = "utf-8"
    replies = [client.mail(sender, wants)]
    if replies[0][0] < 400:
        replies += [client.rcpt(recipient) for recipient in recipients]
    if any(code < 400 for code, _ in replies[1:]):
        replies.append(_data(client, mail))
    code, text = max(reversed(replies), key=lambda reply: reply[0])  # of equal ones the last
    return code, text.decode(errors="replace")


def _data(client: smtplib.SMTP, mail: bytes) -> tuple[int, bytes]:
    try:
        return client.data(mail)
    except smtplib.SMTPDataError as refusal:  # the DATA command itself
        return refusal.smtp_code, _octets(refusal.smtp_error)


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def letter(
    sender: str,
    recipients: Sequence[str],
    subject: str = "",
    body: str = "",
    headers: Sequence[str] = (),
    files: Sequence[Path] = (),
) -> bytes:
    """Build a mail of a text and files; an envelope address that can't stand in a header is left out of it."""
    now = wall_clock()
    return compose(
        Letter(
            sender=_party(sender) or Party("mailer-daemon@localhost"),
            to=[party for party in map(_party, recipients) if party],
            subject=subject,
            text=sys.stdin.read() if body == "-" else body,
            attachments=[Attachment(path.name, path.read_bytes(), _media_type(path)) for path in files],
            extra=[_header(text) for text in headers],
            date=now,
            message_id=f"{now:x}.{secrets.token_hex(8)}@localhost",
        )
    )


def _party(text: str) -> Party | None:
    try:
        return Party(parse_address(text).text)
    except BadAddress:
        return None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise Failure(f"{text!r} is no 'NAME: VALUE'", os.EX_USAGE)
    return name, value.strip()


def _media_type(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _context(ca_file: Path | None, verify: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise Failure(f"--ca-file: {ca_file}: {cause(error)}", os.EX_USAGE) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _sign_in(client: Any, login: str, password: str) -> None:
    client.secret = True
    client.login(login, password)
    client.secret = False


def _say(line: str) -> None:
    """Show a line; that it can't be shown is no fault of the server's."""
    try:
        click.echo(line)
    except OSError as error:
        raise Failure(f"standard output: {error.strerror}", os.EX_IOERR) from error


def _silent(_line: str) -> None:
    """Show nothing."""
