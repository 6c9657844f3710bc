"""Asks whether a mail carries GTUBE, the agreed test pattern for spam."""

from collections.abc import Hashable, Iterable

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message.anatomy import Anatomy
from gatepost.message.mail import Mail
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding

GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
SCORE = 1000.0


class Spam:
    """Is it spam?

    GTUBE counts 1,000 points; what that means is the policy's matter.
    """

    name = "spam"
    cost = Cost.PARSE
    Options = registry.Options

    def __init__(self, options: registry.Options, tools: Tools) -> None:
        pass

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        if not _carries(mail, await mail.anatomy()):
            return ()
        finding = Finding(
            category=Category.SCORE,
            symbol="GTUBE",
            reason="the test pattern for spam (GTUBE)",
            by=self.name,
            score=SCORE,
        )
        return (finding,)


def _carries(mail: Mail, anatomy: Anatomy) -> bool:
    if mail.body.data is not None and mail.body.data.find(GTUBE, anatomy.header_end) >= 0:
        return True
    # UTF-16 puts a NUL beside each octet of the pattern.
    return any(GTUBE in part.text or GTUBE in part.text.replace(b"\0", b"") for part in anatomy.parts if part.text)


FILTER = Spam
