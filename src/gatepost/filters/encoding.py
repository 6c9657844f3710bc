"""Asks whether a mail's encodings or its structure are broken."""

from collections.abc import Hashable, Iterable

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message.anatomy import Symbol
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding

TOLD = 20  # findings in a trace

# What honest programs hardly ever write: none of 2,500 clean mails of a public corpus has one of these. BODY_8BIT,
# which careless senders write, stands in 1 % of them, and TEXT_ENCODED (uuencode) is old but not broken.
GROUNDS = frozenset(
    {
        Symbol.BASE64_BAD,
        Symbol.QP_BAD,
        Symbol.CTE_UNKNOWN,
        Symbol.CTE_WRONG,
        Symbol.CHARSET_UNKNOWN,
        Symbol.CHARSET_BAD,
        Symbol.BOUNDARY_MISSING,
        Symbol.BOUNDARY_BAD,
        Symbol.BOUNDARY_NEVER,
        Symbol.BOUNDARY_OPEN,
        Symbol.HIDDEN_PART,
    }
)


class Encoding:
    """Is an encoding or the MIME structure broken?"""

    name = "encoding"
    cost = Cost.PARSE
    Options = registry.Options

    def __init__(self, options: registry.Options, tools: Tools) -> None:
        pass

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        defects = (await mail.anatomy()).defects
        grounds = [defect for defect in defects if defect.symbol in GROUNDS]
        return [
            Finding(
                category=Category.BAD_ENCODING,
                symbol=defect.symbol.value,
                reason=plain(defect.text),
                by=self.name,
            )
            for defect in grounds[:TOLD]
        ]


FILTER = Encoding
