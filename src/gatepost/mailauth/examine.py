"""Examines who sent a mail: SPF, DKIM, ARC, iprev, then DMARC; DNS is asked side by side, and all within a time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from gatepost.dns import DnsFailure, Missing, Resolver, side_by_side
from gatepost.lookout import within
from gatepost.mailauth import arc, dkim, dmarc, iprev, keys, spf
from gatepost.mailauth.verify import Answer, Checker, Text, key_names, signed_lengths
from gatepost.message.anatomy import Anatomy, Symbol
from gatepost.message.authors import authors, claims
from gatepost.message.edit import head_end
from gatepost.message.mail import Mail
from gatepost.model.address import Address, BadAddress, domain_name
from gatepost.model.auth import Arc, AuthResults, Dmarc, Iprev, Result, Signature, Spf
from gatepost.model.envelope import Body, Envelope

ASKING = 0.7  # of the time is for SPF, keys and the client's name
HASHING = 0.9  # of the time, keys and hashes have to be there
JUDGING = 0.9  # of what is left then is for DMARC
HEAD_MAX = 262_144  # octets of a header over which signatures are looked at
INLINE_MAX = 65_536  # octets of a mail that is hashed in the loop
_NAMELESS = "HELO is no domain name"


_Signed = tuple[tuple[Signature, ...], Arc]


class Examiner:
    """Examines mail after mail; what does not come within `seconds` is a temporary error.

    Each question of its own: some servers are a stranger's, and slow ones must not hide what others say.
    """

    def __init__(self, resolver: Resolver, seconds: float) -> None:
        self._resolver = resolver
        self._seconds = seconds
        self._asking = seconds * ASKING
        self._spf = spf.Checks(resolver, self._asking)
        self._reverse = iprev.Checks(resolver)
        self._dmarc = dmarc.Checks(resolver)

    async def examine(self, mail: Mail, anatomy: Anatomy | None) -> AuthResults:
        """Return what is proven of a mail; `anatomy` None: it could not be opened, so nobody knows its authors."""
        try:
            return await within(self._seconds, self._examine(mail, anatomy))
        except TimeoutError:
            return await self.doubt(mail, anatomy, f"no result within {self._seconds:g} s")

    async def doubt(self, mail: Mail, anatomy: Anatomy | None, reason: str) -> AuthResults:
        """Return what is known of a mail that can't be examined: for a fault of ours, or want of time for its octets.

        Somebody may have sought either.

        Nothing is proven, nor is it disproved; but what its authors' domains ask for is known, so that it waits where
        they ask for proof.
        """
        nothing = unknown(mail.envelope, anatomy, reason)
        domains = [author.domain for author in _claimed(anatomy) if author]
        if not domains:
            return nothing
        hoped = [dmarc.Proof("dkim", domain, sure=False) for domain in domains]
        found = await self._dmarc.check(domains, hoped, seconds=self._seconds)
        return msgspec.structs.replace(nothing, dmarc=found.dmarc)

    async def _examine(self, mail: Mail, anatomy: Anatomy | None) -> AuthResults:
        clock = asyncio.get_running_loop().time
        end = clock() + self._seconds
        of_sender, helo, reverse, (signatures, chain) = await self._asked(mail)
        mail_from = helo if of_sender is None else of_sender
        claimed = _claimed(anatomy)
        domains = [author.domain if author else None for author in claimed]
        proofs = _proofs(mail_from, signatures)
        found = await self._dmarc.check(domains, proofs, seconds=(end - clock()) * JUDGING)
        return AuthResults(
            authors=tuple(author.key for author in claimed if author),
            mail_from=mail_from,
            helo=helo,
            signatures=signatures,
            dmarc=found.dmarc,
            arc=chain,
            iprev=reverse,
            proven=found.proven,
            sender_proven=found.proven and (mail_from.result is Result.PASS or mail_from.domain in domains),
            unsure=found.unsure,
        )

    async def _asked(self, mail: Mail) -> tuple[Spf | None, Spf, Iprev, _Signed]:
        """Ask for all that can be asked at once: side by side, unless there is nothing to wait for but signatures."""
        envelope = mail.envelope
        ip, helo = envelope.client.ip, _host(envelope.client.helo)
        signed = partial(_signatures, mail.body, envelope.received // 1000, self._key, self._seconds * HASHING)
        if (known := self._remembered(envelope, helo)) is not None:
            return (*known, await signed())
        return await asyncio.gather(self._mail_from(envelope, helo), self._helo(ip, helo), self._iprev(ip), signed())

    def _remembered(self, envelope: Envelope, helo: str) -> tuple[Spf | None, Spf, Iprev] | None:
        """Return what was found a moment ago of MAIL FROM, HELO and the client, None unless it was of all of them."""
        ip, sender = envelope.client.ip, envelope.sender
        reverse = self._reverse.known(ip)
        of_helo = self._spf.known(ip, helo) if helo else _none(_NAMELESS)
        if reverse is None or of_helo is None:
            return None
        if sender is None:
            return None, of_helo, reverse
        mail_from = self._spf.known(ip, sender.domain)
        return None if mail_from is None else (mail_from, of_helo, reverse)

    # SPF.

    async def _mail_from(self, envelope: Envelope, helo: str) -> Spf | None:
        """Check MAIL FROM; None for the null sender, which stands for the host that HELO names (RFC 7208 2.4)."""
        sender = envelope.sender
        if sender is None:
            return None
        if sender.literal or not sender.domain:
            return _none("MAIL FROM has no domain name", sender.domain)
        return await self._spf.check(envelope.client.ip, sender.text, helo or sender.domain)

    async def _helo(self, ip: str, name: str) -> Spf:
        return await self._spf.check(ip, f"postmaster@{name}", name) if name else _none(_NAMELESS)

    # The client's name, and keys.

    async def _iprev(self, ip: str) -> Iprev:
        try:
            return await within(self._asking, self._reverse.check(ip))
        except TimeoutError:
            return Iprev(result=Result.TEMPERROR, ip=ip, reason=f"no result within {self._asking:g} s")

    async def _key(self, name: str) -> Answer:
        try:
            texts = await within(self._asking, self._resolver.txt(name))
        except (Missing, DnsFailure) as error:
            return error
        except TimeoutError:
            return DnsFailure(f"no answer within {self._asking:g} s for {name} (TXT)")
        return next((text for text in texts if keys.is_one(text)), texts[0])


def _claimed(anatomy: Anatomy | None) -> list[Address | None]:
    """Return who claims to have written a mail; None for an author who can't be read, or stands beyond what is read."""
    if anatomy is None:
        return [None]
    if found := claims(anatomy):
        return found
    cut = any(each.symbol is Symbol.HEADER_LIMIT and each.part == 0 for each in anatomy.defects)
    return [None] if cut else []


def _proofs(mail_from: Spf, signatures: Sequence[Signature]) -> list[dmarc.Proof]:
    said = [("spf", mail_from.result, mail_from.domain), *(("dkim", each.result, each.domain) for each in signatures)]
    sure = {Result.PASS: True, Result.TEMPERROR: False}
    return [dmarc.Proof(by, domain, sure[result]) for by, result, domain in said if result in sure]


def _none(reason: str, domain: str = "") -> Spf:
    return Spf(result=Result.NONE, domain=domain, reason=reason)


def _host(helo: str) -> str:
    try:
        name = domain_name(helo)
    except BadAddress:
        return ""
    return name if "." in name else ""


# DKIM and ARC.


_Finder = Callable[[str], Coroutine[Any, Any, Answer]]  # of keys, by where they stand


async def _signatures(body: Body, now: int, key: _Finder, seconds: float) -> _Signed:
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    head = await _head(body)
    lower = head.lower()
    if b"dkim-signature" not in lower and b"arc-" not in lower:
        return (), Arc()
    if len(head) > HEAD_MAX:
        reason = f"the header is larger than {HEAD_MAX} octets"
        return (Signature(result=Result.PERMERROR, reason=reason),), Arc(result=Result.FAIL, reason=reason)
    signed, chain, tags = _read(head, lower) if len(head) <= INLINE_MAX else await asyncio.to_thread(_read, head, lower)
    names = key_names(tags)
    found = dict(zip(names, await side_by_side([key(name) for name in names]), strict=True))
    checker = Checker(Text(head, body, len(head)), found, signed_lengths(tags))
    work = partial(_verify, signed, chain, checker, now)
    if body.data is None or body.size > INLINE_MAX or chain is not None:
        try:
            return await within(end - clock(), asyncio.to_thread(work))
        except TimeoutError:
            return _late(signed, chain, f"not hashed within {seconds:g} s")
    return work()


def _late(signed: dkim.Message | None, chain: arc.Chain | None, reason: str) -> _Signed:
    return dkim.unsure(signed, reason) if signed else (), arc.unsure(chain, reason) if chain else Arc()


def _read(head: bytes, lower: bytes) -> tuple[dkim.Message | None, arc.Chain | None, list[dict[bytes, bytes]]]:
    """Return the signatures and the chain of a header, and the tags of both; `lower` is the header in lower case."""
    signed = dkim.read(head) if b"dkim-signature" in lower else None
    chain = arc.read(head) if b"arc-" in lower else None
    return signed, chain, [*(dkim.tags(signed) if signed else ()), *(arc.tags(chain) if chain else ())]


def _verify(signed: dkim.Message | None, chain: arc.Chain | None, checker: Checker, now: int) -> _Signed:
    signatures = dkim.verify(signed, checker, now) if signed else ()
    return signatures, arc.verify(chain, checker) if chain else Arc()


async def _head(body: Body) -> bytes:
    data = body.data if body.data is not None else body.start
    end = head_end(data)
    if end < 0 and body.path is not None:
        data = await asyncio.to_thread(_start, body.path)
        end = head_end(data)
    return data[:end] if end >= 0 else data


def _start(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(HEAD_MAX + 1)


def unknown(envelope: Envelope, anatomy: Anatomy | None, reason: str) -> AuthResults:
    """Return what is known of a mail whose examination came to no end: nothing is proven, nor is it disproved."""
    domain = envelope.sender.domain if envelope.sender else _host(envelope.client.helo)
    late = Spf(result=Result.TEMPERROR, domain=domain, reason=reason)
    return AuthResults(
        authors=tuple(author.key for author in authors(anatomy)) if anatomy else (),
        mail_from=late,
        helo=Spf(result=Result.TEMPERROR, domain=_host(envelope.client.helo), reason=reason),
        dmarc=Dmarc(result=Result.TEMPERROR, reason=reason),
        iprev=Iprev(result=Result.TEMPERROR, ip=envelope.client.ip, reason=reason),
        unsure=True,
    )
