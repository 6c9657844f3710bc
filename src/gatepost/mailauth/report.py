"""Tells what is proven of a mail: the fields that go on top of it (RFC 8601, RFC 7208 9.1), and the trace's facts."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from authres.core import AuthenticationResult, AuthenticationResultProperty  # type: ignore[import-untyped]  # no types

from gatepost.message.plain import plain_ascii
from gatepost.model.address import Address
from gatepost.model.auth import AuthResults, Dmarc, Result, Signature, Spf
from gatepost.model.envelope import Envelope

VALUE = 255  # characters of one value of a stranger's
REASON = 120


def fields(found: AuthResults, envelope: Envelope, host: str) -> list[tuple[str, str]]:
    """Return Authentication-Results and Received-SPF, folded; `host` is our authserv-id."""
    return [
        ("Authentication-Results", ";\r\n\t".join([host, *_results(found, envelope)])),
        (
            "Received-SPF",
            _received_spf(found.mail_from, envelope.sender, envelope.client.ip, envelope.client.helo, host),
        ),
    ]


def facts(found: AuthResults) -> dict[str, Any]:
    """Return what the trace tells."""
    return {
        "proven": found.proven,
        "spf": _spf_facts(found.mail_from),
        "helo": _spf_facts(found.helo),
        "dkim": [_signature_facts(each) for each in found.signatures],
        "dmarc": _dmarc_facts(found.dmarc),
        "arc": {"result": found.arc.result, "sealers": list(found.arc.sealers), "reason": found.arc.reason},
        "iprev": {"result": found.iprev.result, "name": found.iprev.name, "reason": found.iprev.reason},
    }


def _results(found: AuthResults, envelope: Envelope) -> Iterator[str]:
    if envelope.sender:
        yield _result(
            "spf", found.mail_from.result, found.mail_from.reason, ("smtp", "mailfrom", _sender(envelope.sender))
        )
    yield _result("spf", found.helo.result, found.helo.reason, ("smtp", "helo", found.helo.domain))
    for each in found.signatures:
        yield _result("dkim", each.result, each.reason, *_signature_properties(each))
    if not found.signatures:
        yield _result("dkim", Result.NONE, "")
    dmarc = found.dmarc
    policy = dmarc.policy.value if dmarc.record else ""
    yield _result("dmarc", dmarc.result, dmarc.reason, ("policy", "dmarc", policy), ("header", "from", dmarc.domain))
    if found.arc.result is not Result.NONE:
        yield _result("arc", found.arc.result, found.arc.reason, ("smtp", "remote-ip", envelope.client.ip))
    if found.iprev.result is not Result.NONE:
        yield _result("iprev", found.iprev.result, found.iprev.reason, ("policy", "iprev", found.iprev.ip))


def _signature_properties(each: Signature) -> list[tuple[str, str, str]]:
    told = {"d": each.domain, "s": each.selector, "a": each.algorithm, "b": each.start}
    return [("header", name, value) for name, value in told.items()]


def _result(method: str, result: Result, reason: str, *properties: tuple[str, str, str]) -> str:
    some = [(kind, name, value[: VALUE + 1]) for kind, name, value in properties]
    return _clause(method, result, reason[: REASON + 1], *some)


@lru_cache(maxsize=1024)  # most of what is told of a mail is told of its sender's next one, too
def _clause(method: str, result: Result, reason: str, *properties: tuple[str, str, str]) -> str:
    told = [AuthenticationResultProperty(kind, name, _told(name, value)) for kind, name, value in properties if value]
    said = _told("reason", reason) if result is not Result.PASS else ""
    return str(AuthenticationResult(method, result=result.value, reason=said, properties=told))


def _sender(address: Address) -> str:
    """Return a sender that can't be taken for results: its domain alone where the local part is odd."""
    usual = address.local.isascii() and not address.local.startswith('"')
    return address.text if usual else address.domain


def _told(name: str, value: str) -> str:
    """Return a stranger's text so that authres quotes it: what holds an @ it takes for an address."""
    shown = plain_ascii(value, REASON if name == "reason" else VALUE)
    return shown if name == "mailfrom" else shown.replace("@", "?")


_SAID = {
    Result.PASS: "allows",
    Result.FAIL: "does not allow",
    Result.SOFTFAIL: "hardly allows",
    Result.NEUTRAL: "says nothing of",
    Result.TEMPERROR: "could not be asked about",
}


@lru_cache(maxsize=1024)
def _received_spf(spf: Spf, sender: Address | None, ip: str, helo: str, host: str) -> str:
    said = _SAID.get(spf.result, "has no usable record for")
    told = {
        "client-ip": ip,
        "envelope-from": _quoted(sender.text if sender else ""),
        "helo": _quoted(helo),
        "receiver": host,
        "identity": "mailfrom" if sender else "helo",
        "mechanism": _mechanism(spf),
        "problem": _quoted(spf.reason) if spf.result in (Result.PERMERROR, Result.TEMPERROR) else "",
    }
    pairs = [f"{name}={value}" for name, value in told.items() if value]
    return f"{spf.result.value} ({host}: the domain {said} this address)\r\n\t" + ";\r\n\t".join(pairs)


def _mechanism(spf: Spf) -> str:
    """Return the term that decided, `default` where none did and there is a record (RFC 7208 9.1)."""
    if spf.matched:
        return _quoted(spf.matched)
    return "default" if spf.result is Result.NEUTRAL else ""


def _quoted(text: str) -> str:
    """Return a quoted-string (RFC 5322 3.2.4)."""
    shown = plain_ascii(text, VALUE).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{shown}"'


@lru_cache(maxsize=1024)
def _spf_facts(spf: Spf) -> dict[str, object]:
    told: dict[str, object] = {"result": spf.result, "domain": spf.domain}
    optional = {
        "reason": spf.reason,
        "steps": list(spf.steps),
        "dns": list(spf.answers),
    }
    return told | {name: value for name, value in optional.items() if value}


def _signature_facts(each: Signature) -> dict[str, object]:
    told = {
        "result": each.result.value,
        "domain": each.domain,
        "selector": each.selector,
        "algorithm": each.algorithm,
        "bits": each.bits,
        "reason": each.reason,
    }
    return {name: value for name, value in told.items() if value}


@lru_cache(maxsize=1024)
def _dmarc_facts(dmarc: Dmarc) -> dict[str, object]:
    told = {
        "result": dmarc.result.value,
        "domain": dmarc.domain,
        "record": dmarc.record,
        "organisation": dmarc.organisation,
        "policy": dmarc.policy.value if dmarc.record else "",
        "by": list(dmarc.by),
        "reason": dmarc.reason,
    }
    return {name: value for name, value in told.items() if value}
