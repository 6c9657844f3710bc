"""Asks whether a mail is larger than the recipient's policy takes."""

from collections.abc import Hashable, Iterable

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message.mail import Mail
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding

MEGABYTE = 1 << 20


class Size:
    """Is it larger than the policy's mailSizeLimit?"""

    name = "size"
    cost = Cost.MEMORY
    Options = registry.Options

    def __init__(self, options: registry.Options, tools: Tools) -> None:
        pass

    def key(self, recipient: Recipient) -> Hashable:
        return recipient.policy.mail_size_limit if recipient.policy else None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        if recipient.policy is None or mail.body.size <= recipient.policy.octets:
            return ()
        size, limit = mail.body.size / MEGABYTE, recipient.policy.mail_size_limit
        return (
            Finding(
                category=Category.OVERSIZE,
                symbol="OVERSIZE",
                reason=f"{size:.1f} MB, and the policy takes {limit} MB",
                by=self.name,
            ),
        )


FILTER = Size
