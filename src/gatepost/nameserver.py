"""The resolvers that are asked, and when a silent one is left alone: a breaker for each."""

import asyncio
import ipaddress
import re
from typing import Any

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.query
import dns.resolver

from gatepost.events import log
from gatepost.settings import Dns, SettingsError

RECORDS = 250  # of one answer
HEAD = 12  # octets of a message before its question (RFC 1035 4.1.1)


class Rests(OSError):
    """A server is left alone; being an OSError it is out of the question at once, and another server is asked."""


class TooLong(dns.exception.FormError):
    """An answer has more records than anybody needs; other servers would say the same."""


class Nameserver(dns.nameserver.Do53Nameserver):
    """One resolver. After `silent` questions in a row without a word it rests, and only a probe is sent to it.

    The probe is the name servers of the root, which a resolver knows by heart: one that is alive but waits for the
    servers of some domain answers it, and does not rest. Its time is that of a question in all, so that a slow one
    does not rest either.
    """

    def __init__(self, address: str, port: int, settings: Dns) -> None:
        super().__init__(address, port)
        self._settings = settings
        self._silences = 0
        self._rests = False
        self._probing: asyncio.Task[None] | None = None

    async def async_query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,  # noqa: ASYNC109
        source: str | None,
        source_port: int,
        max_size: bool,
        *more: Any,
        **options: Any,
    ) -> dns.message.Message:
        if self._rests:
            raise Rests(f"{self} rests")
        try:
            if max_size:
                response = await self._by_tcp(request, timeout)
            else:
                response = await super().async_query(request, timeout, source, source_port, False, *more, **options)
        except dns.exception.Timeout:
            self._silences += 1
            if self._silences >= self._settings.silent and self._probing is None:
                self._probing = asyncio.create_task(self._probe())
            raise
        except dns.message.Truncated:
            self._silences = 0
            raise
        self._silences = 0
        return response

    async def _by_tcp(self, request: dns.message.QueryMessage, seconds: float) -> dns.message.Message:
        """Ask by TCP; a stranger's records of 64 KB would take seconds to read, so few are, and beside the loop."""
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(self.address, self.port)
                try:
                    writer.write(request.to_wire(prepend_length=True))
                    wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                finally:
                    writer.transport.abort()
        except TimeoutError as error:
            raise dns.exception.Timeout(timeout=seconds) from error  # type: ignore[no-untyped-call]
        if sum(int.from_bytes(wire[at : at + 2]) for at in range(6, HEAD, 2)) > RECORDS:
            raise TooLong
        response = await asyncio.to_thread(dns.message.from_wire, wire)
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response

    async def _probe(self) -> None:
        """Ask until it answers this or any other question; where it does so at the first time it never rests."""
        while not await self._answers() and self._silences >= self._settings.silent:
            if not self._rests:
                self._rests = True
                log.warning("resolver silent", server=str(self), questions=self._silences)
            await asyncio.sleep(self._settings.rest)
        if self._rests:
            log.info("resolver back", server=str(self))
        self._silences, self._rests, self._probing = 0, False, None

    async def _answers(self) -> bool:
        question = dns.message.make_query(dns.name.root, "NS")
        try:
            await dns.asyncquery.udp(
                question, self.address, self._settings.timeout, self.port, ignore_errors=True, ignore_unexpected=True
            )
        except (dns.exception.DNSException, OSError, EOFError):
            return False
        return True


def nameservers(settings: Dns) -> list[Nameserver]:
    """Return the resolvers of `[dns]`, the system's when none are named; raise SettingsError for what is no address."""
    return [Nameserver(*place, settings) for place in map(_place, settings.servers)] or [
        Nameserver(address, 53, settings) for address in _system()
    ]


def _system() -> list[str]:
    resolver = dns.resolver.Resolver(configure=False)
    try:
        resolver.read_resolv_conf("/etc/resolv.conf")
    except dns.resolver.NoResolverConfiguration:
        return ["127.0.0.1"]  # as resolv.conf(5) says for an absent file
    return [str(server) for server in resolver.nameservers]


def _place(text: str) -> tuple[str, int]:
    """Read `address`, `address:port`, `[address]` or `[address]:port`."""
    match = re.fullmatch(r"\[(.+)\](?::(\d+))?|([^:]+)(?::(\d+))?|(.+)", text)
    try:
        host, port = (match[1] or match[3] or match[5], int(match[2] or match[4] or 53)) if match else ("", 0)
        if not 0 < port < 65536:
            raise ValueError(port)
        return str(ipaddress.ip_address(host)), port
    except ValueError as error:
        raise SettingsError(f"dns.servers: {text!r} is no address or address:port") from error
