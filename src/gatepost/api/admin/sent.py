"""Mail that a user sent: how it stands with each recipient, what waits for its hour, and recalling it."""

import msgspec

from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.stored import State
from gatepost.model.values import Id, Millis
from gatepost.services.records import show
from gatepost.services.sent import Sent, SentMails

Who = Id | str


class SentRecipient(msgspec.Struct, frozen=True, kw_only=True):
    """How a mail stands with one recipient, or with the members of a group; `at` and `reply` of the last try."""

    address: str
    state: State
    attempts: int
    at: Millis
    reply: str | None


class SentMail(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A mail that was sent, or goes at `sendAt`. Who has no entry is not to be reached any more."""

    id: str
    subject: str
    sent_at: Millis | None
    send_at: Millis | None
    recipients: list[SentRecipient]


@endpoint("GET", "/users/{userIdOrEmail}/scheduled", permission="MAIL_SEND", addition=True)
async def list_scheduled(sent: SentMails, caller: Caller, user_id_or_email: Who) -> list[SentMail]:
    """List the mails of a user that wait for their hour, the next first."""
    return [_shown(each) for each in await sent.scheduled(caller, user_id_or_email)]


@endpoint("GET", "/users/{userIdOrEmail}/sent/{mailId}", permission="MAIL_SEND", addition=True)
async def get_sent(sent: SentMails, caller: Caller, user_id_or_email: Who, mail_id: str) -> SentMail:
    """Return how a mail of the user's stands with each recipient."""
    return _shown(await sent.find(caller, user_id_or_email, mail_id))


@endpoint(
    "DELETE", "/users/{userIdOrEmail}/sent/{mailId}", permission="MAIL_SEND", addition=True, problems=(Kind.CONFLICT,)
)
async def recall_sent(sent: SentMails, caller: Caller, user_id_or_email: Who, mail_id: str) -> None:
    """Recall a mail from those whom it has not reached yet."""
    await sent.recall(caller, user_id_or_email, mail_id)


def _shown(mail: Sent) -> SentMail:
    return show(SentMail, mail, recipients=[show(SentRecipient, each) for each in mail.recipients])
