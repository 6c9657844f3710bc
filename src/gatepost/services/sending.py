"""Sending: composes mail and hands it to the road."""

import msgspec

from gatepost.events import Clock
from gatepost.message.compose import Letter, Party, compose
from gatepost.model.address import BadAddress, parse_address
from gatepost.model.problem import Kind, Problem
from gatepost.mta.notices import Notices

_ROAD = {
    Kind.UNKNOWN_USER,
    Kind.DISABLED_USER,
    Kind.DISABLED_DOMAIN,
    Kind.PENDING_DOMAIN,
    Kind.DELETED_DOMAIN,
    Kind.POLICY_REFUSED,
    Kind.UNVERIFIED,
    Kind.LOOP,
}
"""What only the road says of an address that mail can't go to."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A mail of the gateway to a person. Without `html` it is plain text; `sender` None: the gateway's postmaster."""

    to: Party
    subject: str
    text: str
    html: str | None = None
    sender: Party | None = None
    reply_to: Party | None = None


class Sending:
    """Sends mail for who may."""

    def __init__(self, notices: Notices, hostname: str, clock: Clock) -> None:
        self._notices = notices
        self._hostname = hostname
        self._clock = clock

    async def notify(self, notice: Notice) -> str:
        """Send a notice of the gateway and return its mail's id; on return it is durable.

        It leaves with the null sender and as automatic (RFC 3834), is not filtered, and goes to the mail server of an
        address that is served here, else outside. Nobody's right is asked: that is the caller's. Raises Problem:
        MALFORMED for what can't stand in a mail, UNPROCESSABLE where there is no way to the address.
        """
        mail_id = self._notices.new_id()
        data = compose(
            Letter(
                sender=notice.sender or Party(f"postmaster@{self._hostname}"),
                to=[notice.to],
                reply_to=[notice.reply_to] if notice.reply_to else [],
                subject=notice.subject,
                text=notice.text,
                html=notice.html,
                date=self._clock(),
                message_id=f"{mail_id}@{self._hostname}",
                automatic="auto-generated",
            )
        )
        try:
            await self._notices.send(mail_id, data, parse_address(notice.to.address))
        except BadAddress as error:
            raise Problem(Kind.MALFORMED, str(error), pointer="/to") from error
        except Problem as problem:
            if problem.kind not in _ROAD:
                raise
            raise Problem(Kind.UNPROCESSABLE, f"No mail can be sent to the address: {problem.detail}.") from problem
        return mail_id
