"""Asks whether a mail from the world can be from who it says: DMARC, our own domains, domains that do not exist."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from gatepost.dns import DnsFailure, Missing, NoName, Resolver, side_by_side
from gatepost.filters import registry
from gatepost.filters.registry import Alarm, Cost, Tools
from gatepost.mailauth.lasting import Lasting
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.auth import AuthResults, Policy, Result
from gatepost.model.envelope import Recipient
from gatepost.model.problem import Kind
from gatepost.model.tenant import Domain
from gatepost.model.verdict import Category, Finding, OnError

DOMAINS = 10  # senders' domains that DNS is asked about


class _Vouched(NamedTuple):
    """The author's domain for which a chain of trusted sealers stands, "" for none; not `sure`: if the chain holds."""

    domain: str
    sure: bool


class SenderVerify:
    """Is the sender who he says?

    Asked where `senderVerifyOn` of the domain and the user is on. Grounds: DMARC fails and the author's domain asks for
    quarantine or rejection; MAIL FROM or From names a domain that is served here, without proof and not from its own
    networks; a sender's domain does not exist, or takes no mail.
    """

    name = "sender_verify"
    cost = Cost.DNS

    class Options(registry.Options, frozen=True):
        DOC: ClassVar[dict[str, str]] = {
            **registry.Options.DOC,
            "trusted_sealers": "domains of mailing lists and forwarders whose ARC chains prove an author as DMARC does",
        }
        trusted_sealers: tuple[str, ...] = ()

    def __init__(self, options: Options, tools: Tools) -> None:
        self._trusted = {name.lower() for name in options.trusted_sealers}
        self._resolver = tools.resolver
        self._served = tools.served
        self._alarm = tools.alarm
        self._real: Lasting[str, bool] = Lasting(tools.resolver)  # domains that name a mail server

    def key(self, recipient: Recipient) -> Hashable:
        return recipient.sender_verify

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        auth = mail.auth
        if not recipient.sender_verify or auth is None:
            return ()
        sender = mail.envelope.sender
        authors = list(dict.fromkeys([author.rpartition("@")[2] for author in auth.authors]))
        named = dict.fromkeys([sender.domain, *authors] if sender else authors)
        served = {name: domain for name in named if (domain := self._served(name)) is not None}
        vouched = self._vouched(auth, authors)
        found = [*_dmarc(auth, vouched)]
        if served:
            found += _claims(mail, auth, authors, vouched, served)
        # A proof from DNS shows that a domain exists. Hosts that report often name themselves as nobody else does.
        names = dict.fromkeys([sender.domain] if auth.proven else named) if sender else ()
        strange = [name for name in names if name not in served and not name.startswith("[")]
        asked = [name for name in strange if not self._real.get(name)]
        return found + await self._check_domains(asked[:DOMAINS]) if asked else found

    def _vouched(self, auth: AuthResults, authors: Sequence[str]) -> _Vouched:
        """Return for whom the chain speaks (RFC 8617 7.2)."""
        chain = auth.arc
        sure = chain.result is Result.PASS
        speaks = (sure or chain.unsure) and bool(chain.sealers) and self._trusted.issuperset(chain.sealers)
        return _Vouched(chain.author if speaks and authors == [chain.author] else "", sure)

    async def _check_domains(self, names: Sequence[str]) -> list[Finding]:
        """Return what is wrong with some domains by themselves."""
        found = await side_by_side([self._unreal(name) for name in names])
        return [finding for finding in found if finding is not None]

    async def _unreal(self, name: str) -> Finding | None:
        """Return why no mail can come from a domain; None where some may."""
        resolver = self._resolver
        try:
            if all(not mx.host for mx in await resolver.mx(name)):
                return _failed("SENDER_NULL_MX", f"{name} takes no mail (null MX)", Kind.NULL_MX)
            self._real.keep(name, True, resolver.good_until(name, "MX"))
            return None
        except NoName:
            return await _absent(resolver, name, self._alarm, "SENDER_NO_DOMAIN", f"{name} does not exist")
        except Missing:
            pass
        except DnsFailure as error:
            return _note("SENDER_DOMAIN_UNSURE", str(error))
        try:
            await resolver.addresses(name)
        except Missing:
            reason = f"{name} has neither a mail server nor an address"
            return await _absent(resolver, name, self._alarm, "SENDER_NO_HOST", reason)
        except DnsFailure as error:
            return _note("SENDER_DOMAIN_UNSURE", str(error))
        return None


# DMARC.


def _dmarc(auth: AuthResults, vouched: _Vouched) -> Iterator[Finding]:
    dmarc = auth.dmarc
    asks = dmarc.policy is not Policy.NONE
    wish = f"{dmarc.record} asks for {'rejection' if dmarc.policy is Policy.REJECT else 'quarantine'}"
    spoken_for = dmarc.domain == vouched.domain != ""
    if asks and dmarc.result in (Result.FAIL, Result.TEMPERROR) and spoken_for and vouched.sure:
        yield _note("DMARC_VOUCHED", f"{dmarc.domain} was proven at {auth.arc.sealers[-1]}, which is trusted")
        return
    match dmarc.result:
        case Result.FAIL if asks and spoken_for:
            yield _unsure("DMARC_UNSURE", f"whether {dmarc.domain} was proven at a trusted sealer can't be told now")
        case Result.FAIL if asks:
            yield _failed(f"DMARC_POLICY_{dmarc.policy.name}", f"{dmarc.domain} is not proven, and {wish}")
        case Result.TEMPERROR if asks:
            yield _unsure("DMARC_UNSURE", f"whether {dmarc.domain} is proven could not be found out now, and {wish}")
        case Result.TEMPERROR:
            yield _note("DMARC_TEMPERROR", f"DMARC could not be looked up: {dmarc.reason}")
        case Result.PERMERROR:
            yield _failed("DMARC_AUTHORS", f"who wrote it can't be told: {dmarc.reason}")


# Domains that are served here.


def _claims(
    mail: Mail, auth: AuthResults, authors: Sequence[str], vouched: _Vouched, served: Mapping[str, Domain]
) -> Iterator[Finding]:
    """Yield what is wrong with the names of ours that a stranger uses."""
    ip, sender = mail.envelope.client.ip, mail.envelope.sender
    ours = {name for name, domain in served.items() if not domain.sends_from(ip)}
    if sender is not None and sender.domain in ours and not _sender_proven(sender.domain, auth):
        unsure = auth.unsure or auth.mail_from.result is Result.TEMPERROR
        yield _claim("MAIL FROM", sender.domain, unsure=unsure)
    written = [name for name in authors if name in ours and not (vouched.sure and name == vouched.domain)]
    if written and not auth.proven:
        yield _claim("From", written[0], unsure=auth.unsure or written[0] == vouched.domain)


def _sender_proven(name: str, auth: AuthResults) -> bool:
    """Tell whether MAIL FROM is proven: by SPF, by a signature of its very domain, or by the author's proof."""
    signed = any(each.result is Result.PASS and each.domain == name for each in auth.signatures)
    return signed or auth.mail_from.result is Result.PASS or auth.sender_proven


def _claim(where: str, name: str, *, unsure: bool) -> Finding:
    if unsure:
        return _unsure("SERVED_UNSURE", f"{where} names {name}, and whether it is proven could not be found out now")
    return _failed("SERVED_FORGED", f"{where} names {name} without proof")


# Domains that can't be.


async def _absent(resolver: Resolver, name: str, alarm: Alarm, symbol: str, reason: str) -> Finding:
    """Return what follows of a name that is not found: nothing where DNS knows no names at all."""
    if f".{name}".endswith(".invalid") or await resolver.knows_all():  # RFC 6761 6.4: never a name, whoever is asked
        return _failed(symbol, reason)
    alarm("dns", "cut_off", "the system's DNS does not know the internet; name servers that do in [dns] servers")
    return _note("SENDER_DOMAIN_UNSURE", f"{reason}, says a DNS that does not know the internet")


def _failed(symbol: str, reason: str, kind: Kind | None = None) -> Finding:
    return Finding(
        category=Category.SENDER_VERIFY, symbol=symbol, reason=plain(reason), by=SenderVerify.name, kind=kind
    )


def _unsure(symbol: str, reason: str) -> Finding:
    """A forged mail must not pass while DNS is silent, nor a true one be refused: it may come again (threat 66)."""
    return Finding(
        category=Category.UNSURE,
        symbol=symbol,
        reason=plain(reason),
        by=SenderVerify.name,
        on_error=OnError.DEFER,
        kind=Kind.SENDER_UNSURE,
    )


def _note(symbol: str, reason: str) -> Finding:
    return Finding(category=Category.NOTE, symbol=symbol, reason=plain(reason), by=SenderVerify.name)


FILTER = SenderVerify
