"""Signs in the header: identifiers, dates, readers, the program that wrote it."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from gatepost.filters.signs.facts import Facts, Sign
from gatepost.message.headers import unfold
from gatepost.message.hosts import registered

HOUR = 3_600_000
AHEAD = 6 * HOUR  # of a clock that is off, or a zone that is wrong
BEHIND = 96 * HOUR  # of a mail that waited in a queue
REPLAYED = 365 * 24 * HOUR  # older mail is sent anew from an archive, which no spammer means to look like
_MESSAGE_ID = re.compile(r"<[^<>@\s]+@(?:[^<>@\s]+)>\Z")
_DATE = re.compile(
    rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), +)?[0-9]{1,2} +(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +"
    rb"[0-9]{4} +[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})? +(?:([+-])([0-9]{2})([0-9]{2})|[A-Z]{1,5})"
    rb"(?: *\([^()]*\)| +[A-Z]{2,5})*\Z"
)
_MACRO = re.compile(
    rb"%[A-Z][A-Z_]{3,}%?|\{\{[^{}]{1,40}\}\}|\[\[[A-Za-z_]{3,40}\]\]|\$\{?RAND|<%|%RND|\{%|#\{[a-z_]+\}"
)
_MULTI = 4  # readers with one local part, or names in one row
_ALPHABET_ROW = 5
_WEIRD = re.compile(
    rb"[A-Za-z]+[0-9]{3,}[A-Za-z]|[a-z][A-Z][a-z]+[A-Z]{3,}|[bcdfghjklmnpqrstvwxzBCDFGHJKLMNPQRSTVWXZ]{7,}"
)
_MADE_UP = re.compile(r"[A-Za-z0-9]{10,}\Z")


def header(facts: Facts) -> Iterator[Sign]:
    yield from _identifier(facts)
    yield from _date(facts)
    yield from _readers(facts)
    yield from _mailer(facts)
    yield from _form(facts)
    yield from _merits(facts)


def _identifier(facts: Facts) -> Iterator[Sign]:
    if b"message-id" not in facts.fields:
        if facts.from_the_world:  # who signs in is given one (RFC 6409 8.3)
            yield "MESSAGE_ID_MISSING", ""
        return
    said = facts.text(b"message-id")
    if not _MESSAGE_ID.match(said):
        yield "MESSAGE_ID_ODD", said
        return
    domain = said[:-1].rpartition("@")[2].lower()
    if "." not in domain and not domain.startswith(("[", "geopod-ismtpd-")):  # SendGrid's own are so
        yield "MESSAGE_ID_NO_DOMAIN", said
    claimed = registered(domain) if "." in domain else ""
    if claimed != facts.author_domain and facts.freemail(claimed) and not _theirs(facts, domain):
        yield "MESSAGE_ID_ELSEWHERE", said
    ours = claimed and claimed in map(registered, facts.our_domains)
    if facts.from_the_world and ours and facts.author_domain != claimed and not facts.listed:
        yield "MESSAGE_ID_OURS", said


def _theirs(facts: Facts, domain: str) -> bool:
    """Tell whether a provider of free mail may well have named the mail: those host the mail of firms, too."""
    return facts.answers or facts.proven or domain == "mail.gmail.com" or domain.endswith(".prod.outlook.com")


def _date(facts: Facts) -> Iterator[Sign]:
    sent = facts.anatomy.summary.sent
    if sent is None:
        return
    off = sent - facts.envelope.received
    if off > AHEAD:
        yield "DATE_AHEAD", f"{off / HOUR:.0f} hours ahead"
    elif -REPLAYED < off < -BEHIND and not facts.discussed:
        yield "DATE_BEHIND", f"{-off / HOUR / 24:.0f} days back"
    said = unfold(facts.raw(b"date"))[:200]
    form = _DATE.match(said)
    if not form:
        yield "DATE_ODD", said.decode("ascii", "replace")
    elif form[1]:
        hours, minutes = int(form[2]), int(form[3])
        if hours > (14 if form[1] == b"+" else 12) or minutes % 15:
            yield "DATE_ZONE_ABSURD", said.decode("ascii", "replace")


def _readers(facts: Facts) -> Iterator[Sign]:
    if b"to" not in facts.fields and b"cc" not in facts.fields:
        yield "TO_MISSING", ""
        return
    named = facts.text(b"to").lower()
    if "undisclosed" in named or "unlisted-recipients" in named or named in ("", "<>"):
        yield "TO_UNDISCLOSED", ""
        return
    if facts.from_the_world and not facts.listed:
        addresses = {reader.address for reader in facts.readers}
        if not addresses & facts.recipients:
            yield "TO_NOT_READER", ""
    locals_ = [reader.address.rpartition("@")[0] for reader in facts.readers]
    if _drawn(locals_):
        yield "TO_ALIKE", f"{len(locals_)} readers"


def _drawn(names: list[str]) -> bool:
    """Tell whether names look drawn from a sorted list, or are one name at many domains."""
    if len(names) < _MULTI:
        return False
    if Counter(names).most_common(1)[0][1] >= _MULTI:
        return True
    starts = Counter(name[:3] for name in names).most_common(1)[0][1]
    return len(names) >= _ALPHABET_ROW and (names == sorted(names) or starts >= 0.8 * len(names))


def _mailer(facts: Facts) -> Iterator[Sign]:
    mailer = facts.text(b"x-mailer") or facts.text(b"user-agent")
    if not mailer:
        return
    said = facts.text(b"message-id")
    outlook = mailer.startswith("Microsoft Outlook")
    if outlook and "Express" in mailer and not facts.discussed and b"x-mimeole" not in facts.fields:
        yield "MAILER_FORGED", f"{mailer} without X-MimeOLE"
    elif mailer.startswith(("Apple Mail", "iPhone Mail", "iPad Mail")) and "$" in said:
        yield "MAILER_FORGED", f"{mailer} with {said}"
    elif _MADE_UP.match(mailer) and any(char.isdigit() for char in mailer) and not mailer.islower():
        yield "MAILER_RANDOM", mailer


def _form(facts: Facts) -> Iterator[Sign]:
    version = facts.raw(b"mime-version").strip()
    typed = facts.raw(b"content-type").strip().lower()
    odd = any(header.name in (b"MiME-Version", b"mime-version", b"MIME-version") for header in facts.anatomy.headers)
    if (typed.startswith((b"multipart/", b"text/html")) and not version) or (version and odd):
        yield "MIME_VERSION_ODD", ""
    if facts.anatomy.summary.important:
        yield "PRIORITY_HIGH", ""
    if any(name in facts.fields for name in (b"x-php-originating-script", b"x-php-script", b"x-source-args")):
        yield "SCRIPT_SENT", ""
    for name in (b"subject", b"from", b"to", b"reply-to", b"message-id"):
        if found := _MACRO.search(facts.raw(name)):
            yield "TEMPLATE_LEFT", found[0].decode("ascii", "replace")
            break
    if odd_names := [header.name for header in facts.anatomy.headers if _weird(header.name)]:
        yield "HEADER_NAMES_ODD", odd_names[0].decode("ascii", "replace")


def _weird(name: bytes) -> bool:
    return 6 < len(name) <= 60 and name[:2] not in (b"X-", b"x-") and _jumbled(name)


@lru_cache(maxsize=2048)
def _jumbled(name: bytes) -> bool:
    return bool(_WEIRD.search(name))


def _merits(facts: Facts) -> Iterator[Sign]:
    if facts.discussed:
        yield "LIST_DISCUSSION", ""
    if (
        facts.answers
        and not facts.refuted
        and facts.prose.subject[:4].lower().startswith(("re:", "aw:", "sv:", "r:", "re ", "odp:", "vs:"))
    ):
        yield "REPLY_THREADED", ""
    if any(part.signed for part in facts.anatomy.parts):
        yield "SIGNED_CONTENT", ""
