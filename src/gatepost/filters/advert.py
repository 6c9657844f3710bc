"""Asks whether a mail is an advert: bulk mail that is lawful, says how to be rid of it, and that nobody waited for."""

from collections.abc import Hashable, Iterable, Iterator
from typing import ClassVar

from gatepost.filters.registry import Cost, Tools
from gatepost.filters.signs.facts import Facts, facts_of
from gatepost.filters.symbols import Weights, load, phrases
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding

TEXT_ENDS = 3000  # characters of the text's beginning, and of its end, that are read
PICTURES, LINKS = 3, 6  # of a shop window

# Fields that senders of newsletters write, and nobody else.
_CAMPAIGN = frozenset(
    b"x-campaign x-campaignid x-campaign-id x-mc-user x-mailchimp-id x-newsletter x-newsletterid x-mailer-recptid "
    b"x-job x-jobid x-mailingid x-mailing-id x-rpcampaign x-sfmc-stack x-mandrill-user x-acymailing x-mailer-sid "
    b"x-listmember x-listid x-messageid-ccm x-ems-campaign x-cr-campaign x-klaviyo-message-id x-emarsys-identify "
    b"x-mailpoet x-messagebroadcaster x-episerver x-mailup x-sib-id x-mailin-campaign x-mailin-client x-rmx "
    b"x-binding x-et-route x-delivery-context x-vrtc x-csa-complaints x-elist x-iplist x-lyris x-dartmail".split()
)
_PROGRAMS = (
    *(
        "mailchimp",
        "sendinblue",
        "brevo",
        "acymailing",
        "phplist",
        "mailjet",
        "klaviyo",
        "sendy",
        "mailerlite",
        "cleverreach",
    ),
    *("hubspot", "aweber", "getresponse", "constant contact", "activecampaign", "emarsys", "mailpoet", "rapidmail"),
    *(
        "mailup",
        "optivo",
        "inxmail",
        "campaign",
        "newsletter",
        "bulk",
        "dotmailer",
        "icontact",
        "benchmark",
        "mass mail",
    ),
)


class AdvertOptions(Weights, frozen=True):
    DOC: ClassVar[dict[str, str]] = {**Weights.DOC, "points": "from so many points on a mail is an advert"}
    points: float = 3.0


class Advert:
    """Is it an advert?

    Signs of bulk mail count points, apart from the spam score. Answers, discussion lists, and what a shop or a service
    owes its customer are none.
    """

    name = "advert"
    cost = Cost.PARSE
    Options = AdvertOptions

    def __init__(self, options: AdvertOptions, tools: Tools) -> None:
        self.anywhere = not options.file  # which may change before another process reads it
        self._points = options.points
        self._symbols, self._lists = load(options, "adverts")
        self._in_text = phrases(options.file, "adverts", "text")
        self._in_subject = phrases(options.file, "adverts", "subject")

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        facts = await facts_of(mail, self._lists)
        signs = {name: self._symbols[name] for name in self._signs(facts)}
        points = round(sum(sign.weight for sign in signs.values()), 2)
        if points < self._points:
            return ()
        gravest = max(signs.values(), key=lambda sign: sign.weight)
        reason = plain(f"bulk mail, by {points:g} points: {gravest.about}")
        seen = plain(", ".join(signs))
        return (Finding(category=Category.ADVERT, symbol="ADVERT", reason=reason, seen=seen, by=self.name),)

    def _signs(self, facts: Facts) -> Iterator[str]:
        if facts.answers or facts.discussed:
            yield "ADVERT_PERSONAL"
            return
        yield from _fields(facts)
        page = facts.prose.page
        if page is not None and page.images >= PICTURES and len(page.anchors) >= LINKS:
            yield "ADVERT_LOOK"
        yield from self._in_subject.found(facts.prose.subject)
        shown = facts.prose.text
        yield from self._in_text.found(shown if len(shown) <= 2 * TEXT_ENDS else shown[:TEXT_ENDS] + shown[-TEXT_ENDS:])


def _fields(facts: Facts) -> Iterator[str]:
    fields = facts.fields
    if b"list-unsubscribe" in fields:
        yield "ADVERT_UNSUBSCRIBE"
    if b"list-unsubscribe-post" in fields:
        yield "ADVERT_ONE_CLICK"
    if facts.raw(b"precedence").strip().lower() in (b"bulk", b"junk"):
        yield "ADVERT_PRECEDENCE"
    if b"feedback-id" in fields:
        yield "ADVERT_FEEDBACK"
    if not _CAMPAIGN.isdisjoint(fields) or _of_program(facts.text(b"x-mailer").lower()):
        yield "ADVERT_CAMPAIGN"


def _of_program(mailer: str) -> bool:
    return bool(mailer) and any(program in mailer for program in _PROGRAMS)


FILTER = Advert
