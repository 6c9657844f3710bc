"""Asks whether a mail is larger than the recipient's policy takes."""

from collections.abc import Hashable, Iterable

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message.mail import Mail
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding


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
        excess = recipient.policy.excess(mail.body.size) if recipient.policy else ""
        if not excess:
            return ()
        return (
            Finding(
                category=Category.OVERSIZE,
                symbol="OVERSIZE",
                reason=excess,
                by=self.name,
            ),
        )


FILTER = Size
