"""Signs in who says that he wrote a mail, and where answers go."""

import re
from collections.abc import Iterator

import re2  # type: ignore[import-untyped]

from gatepost.filters.signs.brands import NEAR, Brands, near
from gatepost.filters.signs.facts import Facts, Sign
from gatepost.filters.signs.scripts import UNSEEN, mixed
from gatepost.message.hosts import registered
from gatepost.message.skeleton import folded, skeleton, unpunycoded

NEAR_REPLY = 6  # letters of a name from which on one wrong letter is taken for intent
_ADDRESS = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)")
_RANDOM = re.compile(
    r"(?!microsoftexchange[0-9a-f]{32}\Z)(?:"  # Exchange reports by that name
    r"(?=[a-z0-9]{9,}\Z)(?:[a-z]*+[0-9]++){3,}[a-z]*+\Z"  # digits strewn over it
    r"|[a-z]{2,}[0-9]{5,}\Z"
    r"|[a-z]*[bcdfghjklmnpqrstvwxz]{7,}[a-z0-9]*\Z"
    r"|[a-z0-9]*[0-9]{3,}[a-z]{1,3}[0-9]*\Z)"
)
LOCAL_MAX = 64
HYPHENS = 2  # in a domain's own label, from which on it is put together
STATION_MAX = 1000  # octets of a Received field
_PIECES = re.compile(rb"[\s()\[\];<>=,]+")
_CHIEF = re.compile(
    r"(?i)\b(?:ceo|cfo|coo|cto|chief|president|chairman|director|headmaster|barr(?:ister)?"
    r"|billing|support|helpdesk|help desk|admin(?:istrator)?|payroll|accounts? (?:dep\w*|team)|human resources"
    r"|(?:order|sales|payment|invoice|renewal|delivery|security|verification) (?:team|desk|service|update|center)"
    r"|recruiter|capt(?:ain)?|sergeant|colonel|general manager|loan officer|attorney"
    r"|customer (?:service|care)|dep(?:artmen)?t|recruit(?:ing|ment)|hiring|foundation|alerts?"
    r"|geschäftsführ\w+|rechtsanwalt|kundendienst|kreditservice|avocat|notaire|brigade|gendarmerie|police|directeur"
    r"|abogado|notario|director[a]? general)\b"
)
_END = 400  # characters of a text in which somebody signs
_SIGNED = re2.compile(
    r"(?:©|\([Cc]\)|[Cc]opyright)[\s0-9-]{0,12}([A-Za-z][A-Za-z ]{2,30})"
    r"|\b([A-Z]\w+(?: [A-Z]\w+){0,2}[ -](?:[Tt]eam|Support|Security|Corporation|Customer (?:Care|Service)))\b"
    r"|(?i:équipe|equipo(?: de)?|equipe|il team|zespół) ([A-Z]\w+(?: [A-Z]\w+)?)"
)
_BASE64_WORD = re.compile(rb"=\?[^?\s]{1,40}\?[Bb]\?")


def sender(facts: Facts, brands: Brands) -> Iterator[Sign]:
    yield from _name(facts, brands)
    if facts.author_domain:
        yield from _domain(facts, brands)
        yield from _address(facts)
    yield from _replies(facts)
    if brand := _signed(facts, brands):
        yield "SIGNED_AS_BRAND", brand


def _name(facts: Facts, brands: Brands) -> Iterator[Sign]:
    name, domain = facts.author.name, facts.author_domain
    shown = _ADDRESS.search(name)
    if shown and registered(shown[1].lower()) != domain and not facts.discussed:
        yield "FROM_NAME_ADDRESS", f"{shown[0]} for {facts.author.address}"
    brand = brands.claimed(name) if name and not shown else ""
    if brand and domain and not (brands.owns(brand, domain) or facts.discussed or _serves(facts, brands, brand)):
        yield "FROM_NAME_BRAND", f"{name} with {facts.author.address}"
        if facts.links and not any(brands.owns(brand, link.domain) for link in facts.links):
            yield "FROM_NAME_BRAND_ALONE", facts.links[0].host
    if facts.freemail(facts.author.domain):
        yield "FROM_FREEMAIL", facts.author.domain
        if _CHIEF.search(name):
            yield "FROM_NAME_CHIEF", f"{name} with {facts.author.address}"
    if not shown and _ours(facts, name.lower()):
        yield "FROM_NAME_OURS", f"{name} with {facts.author.address}"
    if not (name.isascii() and facts.prose.subject.isascii()):
        if UNSEEN.search(name) or UNSEEN.search(facts.prose.subject.rstrip()):
            yield "FROM_NAME_CONTROLS", ""
        if words := mixed(name):
            yield "FROM_NAME_MIXED", words[0]
    for field, text in ((b"from", name), (b"subject", facts.prose.subject)):
        if text.isascii() and len(text) > 3 and _BASE64_WORD.search(facts.raw(field)):
            yield "FROM_ENCODED_IDLY", field.decode().title()
            break


def _serves(facts: Facts, brands: Brands, brand: str) -> bool:
    """Tell whether a server writes in the name of the software that it runs, and leads nowhere but to itself."""
    if brand not in facts.lists.software or not facts.proven or facts.freemail(facts.author.domain):
        return False
    if facts.answered_elsewhere:
        return False
    if not facts.bare:
        return facts.envelope.sender is None  # a report brings what it reports on
    return all(facts.within(link) or brands.owns(brand, link.domain) for link in facts.links if link.domain)


def _ours(facts: Facts, name: str) -> bool:
    """Tell whether the author's name shows the reader's domain, which he is not of."""
    if "." not in name or facts.author.domain in facts.our_domains or facts.listed:
        return False
    return any(domain in name for domain in facts.our_domains)


def _domain(facts: Facts, brands: Brands) -> Iterator[Sign]:
    domain = facts.author_domain
    if brand := brands.alike(domain):
        yield "FROM_DOMAIN_ALIKE", f"{domain} for {brand}"
    elif brand := brands.borne(facts.author.domain, domain):
        yield "FROM_DOMAIN_BRAND", f"{facts.author.domain} for {brand}"
    elif facts.from_the_world and any(_mocks(domain, registered(each)) for each in facts.our_domains):
        yield "FROM_DOMAIN_OURS_ALIKE", domain  # of other readers nothing is told (rules 12)
    if any(mixed(unpunycoded(label)) for label in domain.split(".")):
        yield "FROM_DOMAIN_MIXED", domain
    if _put_together(domain):
        yield "FROM_DOMAIN_HYPHENS", domain
    if facts.abused(domain):
        yield "FROM_DOMAIN_ABUSED", domain


def _put_together(domain: str) -> bool:
    """Tell whether a domain is of several words, under no country's suffix: in some countries firms write so."""
    label, _, suffix = domain.partition(".")
    return label.count("-") >= HYPHENS and len(suffix.rpartition(".")[2]) > 2 and not label.startswith("xn--")


def _address(facts: Facts) -> Iterator[Sign]:
    author = facts.author
    local = author.address.rpartition("@")[0][:LOCAL_MAX]
    if _RANDOM.match(local):
        yield "FROM_LOCAL_RANDOM", author.address
    if not facts.from_the_world:
        return
    if author.address in facts.recipients and not facts.proven:
        yield "FROM_IS_TO", author.address
    elif author.domain in facts.our_domains and facts.auth is not None and not facts.proven and not facts.listed:
        yield "FROM_OURS_UNPROVEN", author.address
    if (
        facts.freemail(author.domain)
        and not facts.discussed
        and not facts.proven
        and not _seen_at(facts, author.domain)
    ):
        yield "FROM_FREEMAIL_ELSEWHERE", author.domain


def _seen_at(facts: Facts, domain: str) -> bool:
    """Tell whether a station's own name or a signature shows that the provider had the mail.

    What a client called itself, and addresses, prove nothing.
    """
    label = domain.partition(".")[0].encode()
    for value in facts.fields.get(b"received", ()):
        pieces = _PIECES.split(value[:STATION_MAX].strip().lower())
        known = pieces[2:] if pieces[0] == b"from" else pieces
        if any(label in piece and b"@" not in piece for piece in known):
            return True
    return any(label in value.lower() for value in facts.fields.get(b"dkim-signature", ()))


def _replies(facts: Facts) -> Iterator[Sign]:
    reply, author = facts.reply, facts.author
    if reply is None or not facts.answered_elsewhere or facts.listed:
        return
    domain = registered(reply.domain)
    if facts.freemail(reply.domain):
        yield "REPLY_TO_FREEMAIL", f"{reply.address} for {author.address}"
    else:
        yield "REPLY_TO_ELSEWHERE", f"{reply.domain} for {author.domain}"
    if facts.author_domain and _alike(domain, facts.author_domain):
        yield "REPLY_TO_ALIKE", f"{domain} for {facts.author_domain}"


def _signed(facts: Facts, brands: Brands) -> str:
    """Return the brand that a mail is signed by though neither its author nor any link is the brand's, "" if none."""
    if facts.listed or facts.answers or not facts.author_domain:
        return ""
    for found in _SIGNED.finditer(facts.prose.text[-_END:]):
        brand = brands.claimed(found[1] or found[2] or found[3])
        if brand:
            domains = (facts.author_domain, *(link.domain for link in facts.links))
            own = any(brands.owns(brand, domain) for domain in domains)
            return "" if own or _serves(facts, brands, brand) else brand
    return ""


def _alike(one: str, other: str) -> bool:
    a, b = one.partition(".")[0], other.partition(".")[0]
    return a != b and len(a) >= NEAR_REPLY and (skeleton(a) == skeleton(b) or near(a, b))


def _mocks(domain: str, ours: str) -> bool:
    """Tell whether a registered domain is made to look like ours; a hyphen more or less is a firm's second domain."""
    a, b = domain.partition(".")[0], ours.partition(".")[0]
    whole = ours.replace(".", "-")
    if len(whole) >= NEAR_REPLY and f"-{whole}-" in f"-{a}-" and a != whole:
        return True
    if len(a) < NEAR_REPLY or a.replace("-", "") == b.replace("-", ""):
        return False
    seen = folded(unpunycoded(a))
    return skeleton(seen) in (skeleton(b), skeleton(ours.replace(".", "-"))) or (len(seen) >= NEAR and near(seen, b))
