"""Posts to URLs that strangers named: to one public address, its certificate checked, nothing followed (threat 122)."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx2

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.model.network import is_forbidden, is_public

TAKEN = 8192  # octets that the system takes ahead of us; it may take twice as many
_DOWN = {429, 502, 503, 504}


class Refused(Exception):
    """A post was not taken; the text says why. `down`: that is said of the receiver, not of what it was told."""

    def __init__(self, why: str, *, down: bool = True) -> None:
        super().__init__(why)
        self.down = down


def bounded(context: ssl.SSLContext) -> httpx2.AsyncClient:
    """Return a client for servers of strangers, which follows nothing and takes little at once.

    What has come is read without a pause, and a flood of answers that announce another one (1xx) takes a thousand times
    as long to read as text.
    """
    options = [(socket.SOL_SOCKET, socket.SO_RCVBUF, TAKEN)]
    transport = httpx2.AsyncHTTPTransport(verify=context, trust_env=False, socket_options=options)
    return httpx2.AsyncClient(transport=transport, timeout=None, trust_env=False)


class Poster:
    """One for each kind of strangers: who may name a private address to one of them may not to another."""

    def __init__(self, resolver: Resolver, *, timeout: float, private: bool, ca_file: str) -> None:
        """`timeout` in seconds; `private`: may URLs lie on private addresses? `ca_file` "": the system's."""
        self._resolver = resolver
        self._timeout = timeout
        self._private = private
        self._ca_file = ca_file or None
        self._context: ssl.SSLContext | None = None

    async def post(self, to: str, body: bytes, headers: Mapping[str, str]) -> str:
        """Post to a URL; return the status that was answered, as text. Raise Refused for any but 2xx, and for none."""
        try:
            url = urlsplit(to)
            sent = {"Host": url.netloc.rpartition("@")[2], "User-Agent": "Gatepost", **headers}
            async with asyncio.timeout(self._timeout):
                place = await self._place(url.hostname or "")
                target = f"{url.scheme}://{place}:{url.port or (443 if url.scheme == 'https' else 80)}"
                target += (url.path or "/") + (f"?{url.query}" if url.query else "")
                async with bounded(await self._tls()) as client:
                    asked = client.stream(
                        "POST", target, content=body, headers=sent, extensions={"sni_hostname": url.hostname or ""}
                    )
                    async with asked as answer:
                        status = answer.status_code
        except (Missing, DnsFailure, httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise Refused(str(error) or "no answer in time") from error
        if not 200 <= status < 300:
            raise Refused(f"it answers {status}", down=status in _DOWN)
        return str(status)

    async def _place(self, host: str) -> str:
        """One address of a host; never one of the own network unless that is allowed."""
        found = await self._resolver.addresses(host)
        allowed = [ip for ip in found if is_public(ip) or (self._private and not is_forbidden(ip))]
        if not allowed:
            raise Refused(f"{host} has no public address")
        return f"[{allowed[0]}]" if ":" in allowed[0] else allowed[0]

    async def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context, cafile=self._ca_file)
        return self._context
