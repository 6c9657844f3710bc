"""A real DNS server for tests (UDP and TCP on one loopback port): zones as a table, and every way to fail."""

import asyncio
from collections.abc import Sequence
from enum import Enum
from types import TracebackType
from typing import Self, cast

from dnslib import QTYPE, RCODE, RD, RR, DNSLabel, DNSRecord

CHAIN = 16
UDP_MAX = 512


class Fault(Enum):
    """How a name fails to answer."""

    SERVFAIL = "SERVFAIL"
    REFUSED = "REFUSED"
    TIMEOUT = "TIMEOUT"  # never answers
    ELSE_TIMEOUT = "ELSE_TIMEOUT"  # never answers for types of which it has no record
    WRONG_ID = "WRONG_ID"  # answers somebody else's question, then the right one
    GARBAGE = "GARBAGE"  # bytes that are no DNS message


Zone = dict[str, list[str | Fault | RD]]


class Names:
    """`async with Names({"example.org": ["MX 10 mx.example.org.", "TXT \\"v=spf1 -all\\""]}) as names`.

    A record is zone-file text without owner, dnslib's form of one, or a Fault; names that stand nowhere get
    NXDOMAIN, names without a record of the asked type an empty answer. CNAMEs are followed, loops included.
    `zone` may be changed at any time; `asked` lists the questions as (name, type, "udp" | "tcp").
    While it is `silent` it answers nothing.
    `validated`: it says, as a validating resolver does, that DNSSEC proves its answers but of names in `unsigned`.
    """

    def __init__(self, zone: Zone | None = None, *, ttl: int = 300, validated: bool = False) -> None:
        self.validated = validated
        self.silent = False
        self.zone: Zone = zone or {}
        self.ttl = ttl
        self.unsigned: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []
        self.port = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """What `[dns] servers` takes."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        for _ in range(20):
            self._tcp = await asyncio.start_server(self._converse, "127.0.0.1", 0)
            self.port = self._tcp.sockets[0].getsockname()[1]
            loop = asyncio.get_running_loop()
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(self), local_addr=("127.0.0.1", self.port)
                )
            except OSError:  # the UDP port of that number is taken
                self._tcp.close()
                continue
            return self
        raise OSError("no port is free for both UDP and TCP")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._udp:
            self._udp.close()
        if self._tcp:
            self._tcp.close()

    def count(self, name: str, kind: str) -> int:
        """How often a question was asked."""
        return sum(1 for asked in self.asked if asked[:2] == (name, kind))

    def respond(self, request: bytes, via: str) -> Sequence[bytes]:
        """The packets that answer a question: none, one, or a false one before the true one."""
        query = DNSRecord.parse(request)
        name = b".".join(query.q.qname.label).decode("latin-1").lower()
        kind = QTYPE[query.q.qtype]
        self.asked.append((name, kind, via))
        fault = next((entry for entry in self.zone.get(name, []) if isinstance(entry, Fault)), None)
        if self.silent or fault is Fault.TIMEOUT or (fault is Fault.ELSE_TIMEOUT and not self._has(name, kind)):
            return []
        if fault is Fault.GARBAGE:
            return [request[:2] + b"\xff" * 9]
        reply = query.reply()
        if fault in (Fault.SERVFAIL, Fault.REFUSED):
            reply.header.rcode = getattr(RCODE, fault.value)
            return [reply.pack()]
        self._fill(reply, name, kind)
        reply.header.ad = int(self.validated and name not in self.unsigned)
        packet: bytes = reply.pack()
        if via == "udp" and len(packet) > UDP_MAX:
            short = query.reply()
            short.header.tc = 1
            packet = short.pack()
        if fault is Fault.WRONG_ID:
            false = bytes([packet[0] ^ 0xFF]) + packet[1:]
            return [false, packet]
        return [packet]

    def _fill(self, reply: DNSRecord, name: str, kind: str) -> None:
        for _ in range(CHAIN):
            if name not in self.zone:
                reply.header.rcode = RCODE.NXDOMAIN if not reply.rr else RCODE.NOERROR
                return
            self._add(reply, name, kind)
            entries = [entry for entry in self.zone[name] if isinstance(entry, str)]
            alias = next((entry.split()[1] for entry in entries if entry.upper().startswith("CNAME ")), None)
            if alias and kind != "CNAME":
                reply.add_answer(*RR.fromZone(f"{name}. {self.ttl} IN CNAME {alias.rstrip('.')}."))
                name = alias.rstrip(".").lower()
                continue
            for entry in entries:
                if entry.split()[0].upper() == kind:
                    (record,) = RR.fromZone(f"owner. {self.ttl} IN {entry}")
                    record.rname = _label(name)
                    reply.add_answer(record)
            return

    def _add(self, reply: DNSRecord, name: str, kind: str) -> None:
        for entry in self.zone[name]:
            if isinstance(entry, RD) and type(entry).__name__ == kind:
                reply.add_answer(RR(_label(name), getattr(QTYPE, kind), rdata=entry, ttl=self.ttl))

    def _has(self, name: str, kind: str) -> bool:
        entries = [entry for entry in self.zone[name] if not isinstance(entry, Fault)]
        kinds = {entry.split()[0].upper() if isinstance(entry, str) else type(entry).__name__ for entry in entries}
        return bool(kinds & {kind, "CNAME"})

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                for packet in self.respond(await reader.readexactly(size), "tcp"):
                    writer.write(len(packet).to_bytes(2, "big") + packet)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


def _label(name: str) -> DNSLabel:
    """A name as it goes on the wire, whatever stands in its labels."""
    return DNSLabel([label.encode("latin-1") for label in name.split(".") if label])


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, names: Names) -> None:
        self.names = names
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        assert self.transport
        for packet in self.names.respond(data, "udp"):
            self.transport.sendto(packet, addr)
