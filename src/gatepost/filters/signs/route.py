"""Signs on the way a mail came: what stations called themselves, names of addresses, proofs of the sender."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from gatepost.filters.hosts import is_address
from gatepost.filters.signs.facts import Facts, Sign
from gatepost.message.hosts import registered
from gatepost.model.auth import AuthResults, Policy, Result
from gatepost.model.network import is_public

STATIONS_MAX = 30
NEWEST = 2  # stations that a server of ours, or one that forwards to us, has seen
STATION_MAX = 1000  # octets of one
_FROM = re.compile(
    rb"\s*from\s+(?P<helo>\S+)\s+"
    rb"(?:\((?:HELO\s+(?P<qmail>[^\s()]+)\)\s*\()?(?:EHLO\s+)?(?:[^()\s@\[]*@)?(?P<name>[^\s()\[\]]*)\s*"
    rb"\[?(?:IPv6:)?(?P<ip>[0-9a-fA-F.:]{3,45})\]?(?:[^()]*helo=\[?(?P<exim>[^\s()\]]+))?[^()]*\))?",
    re.IGNORECASE,
)
_SUBMITTED = re.compile(rb"(?i)\bwith\s+(?:e?smtps?a|utf8smtps?a|asmtp|https?)\b|\(authenticated|authenticated sender")
_DYNAMIC = re.compile(
    r"(?:\d{1,3}[.-]){3}\d{1,3}|\b(?:dsl|adsl|xdsl|dyn(?:amic)?|dial(?:up|in)?|cable|ppp(?:oe)?|pool|dhcp|client|cust"
    r"|res(?:idential)?|broadband|modem|user|ip)\b[.\d-]*|\d{1,3}-\d{1,3}-\d{1,3}|\b[0-9a-f]{8}\.",
    re.IGNORECASE,
)


class Station(NamedTuple):
    """What a Received field says of who handed the mail in: his own word, his address and its name ("" if none).

    `submitted`: he signed in (RFC 3848) or used a web page; authors do so from anywhere.
    """

    helo: str
    name: str
    ip: str
    submitted: bool


def route(facts: Facts) -> Iterator[Sign]:
    if not facts.from_the_world:
        return
    received = facts.fields.get(b"received", [])
    if not received:
        yield "RECEIVED_NONE", ""
    stations = [station for value in received[:STATIONS_MAX] if (station := _station(value))]
    if not facts.discussed:
        yield from _stations(facts, [station for station in stations if not station.submitted])
    if home := _home(facts, stations):
        yield "AUTHOR_AT_HOME", home
    yield from _client(facts)
    if facts.auth is not None:
        yield from _proofs(facts, facts.auth)


def _station(value: bytes) -> Station | None:
    found = _FROM.match(value[:STATION_MAX])
    if not found or not found["ip"]:
        return None
    ip = found["ip"].decode("ascii")
    if not is_public(ip):
        return None
    helo = found["exim"] or found["qmail"] or found["helo"]
    name = found["name"].decode("ascii", "replace").lower().rstrip(".")
    return Station(
        helo=helo.decode("ascii", "replace").lower().rstrip("."),
        name="" if name in ("unknown", "helo") else name,
        ip=ip,
        submitted=bool(_SUBMITTED.search(value[:STATION_MAX])),
    )


def _stations(facts: Facts, stations: list[Station]) -> Iterator[Sign]:
    """Judge what the first of those before us said; what forgers wrote below it proves nothing."""
    for station in stations:
        if _forged(facts, station):
            yield "RECEIVED_HELO_FORGED", f"{station.helo} from {station.name or station.ip}"
            break
    if not stations:
        return
    first = stations[-1]
    if "." not in first.helo or is_public(first.helo.strip("[]")):
        yield "RECEIVED_HELO_BARE", first.helo
    if not first.name:
        yield "RECEIVED_NO_RDNS", first.ip
    elif _DYNAMIC.search(first.name) and not facts.proven:
        yield "RECEIVED_DYNAMIC", first.name


def _home(facts: Facts, stations: list[Station]) -> str:
    """Return the name of the client, or of the newest stations where nobody looked, if it is of the author's domain.

    A provider of free mail is home to everybody, and a domain under a suffix that spam favours may be bought for a day.
    """
    if facts.freemail(facts.author.domain) or facts.abused(facts.author_domain):
        return ""
    auth = facts.auth
    names = [auth.iprev.name] if auth is not None else [station.name for station in stations[:NEWEST]]
    return next((name for name in names if name and registered(name) == facts.author_domain), "")


def _forged(facts: Facts, station: Station) -> bool:
    claimed = registered(station.helo) if "." in station.helo else ""
    if not claimed or not (facts.freemail(claimed) or claimed in facts.our_domains):
        return False
    return not station.name or registered(station.name).partition(".")[0] != claimed.partition(".")[0]


def _client(facts: Facts) -> Iterator[Sign]:
    """Judge what the client called itself; who is on a private network, or on this machine, names himself at will."""
    helo = facts.envelope.client.helo.lower().rstrip(".")
    if not helo or not is_public(facts.envelope.client.ip):
        return
    if helo in facts.our_domains:
        if facts.auth is None or facts.auth.helo.result is not Result.PASS:
            yield "HELO_OURS", helo
    elif is_address(helo):
        yield "HELO_IP", helo
    elif "." not in helo and not helo.startswith("["):
        yield "HELO_BARE", helo


def _proofs(facts: Facts, auth: AuthResults) -> Iterator[Sign]:
    if auth.unsure:
        return
    if auth.proven:
        yield "PROVEN", ""
        if facts.author.domain in facts.our_domains:
            yield "COLLEAGUE_PROVEN", facts.author.domain
    if auth.iprev.result in (Result.FAIL, Result.PERMERROR) and is_public(auth.iprev.ip):
        yield "RDNS_MISSING", auth.iprev.ip
    spf = {Result.FAIL: "SPF_FAIL", Result.SOFTFAIL: "SPF_SOFTFAIL", Result.NONE: "SPF_NONE"}.get(auth.mail_from.result)
    if spf and not auth.proven:
        yield spf, auth.mail_from.domain
    dkim = {signature.result for signature in auth.signatures}
    if dkim and Result.PASS not in dkim and Result.TEMPERROR not in dkim:
        yield "DKIM_FAIL", auth.signatures[0].reason
    if auth.dmarc.result is Result.FAIL and not facts.discussed:
        symbols = {Policy.REJECT: "DMARC_FAIL_REJECT", Policy.QUARANTINE: "DMARC_FAIL_QUARANTINE"}
        yield symbols.get(auth.dmarc.policy, "DMARC_FAIL"), auth.dmarc.domain
    elif not auth.proven and auth.dmarc.result is Result.NONE:
        yield "AUTHOR_UNPROVABLE", auth.dmarc.domain
