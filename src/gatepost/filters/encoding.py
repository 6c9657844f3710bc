"""Asks whether a mail's encodings or its structure are broken."""

from collections.abc import Hashable, Iterable, Iterator

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message.anatomy import Anatomy, Symbol
from gatepost.message.headers import word_fault
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.model.envelope import Recipient
from gatepost.model.verdict import Category, Finding

TOLD = 20  # findings in a trace

# What honest programs hardly ever write: one of 2,500 clean mails of a public corpus has one of these (BODY_NOT_7BIT).
# BODY_8BIT, which careless senders write, stands in 1 % of them, and TEXT_ENCODED (uuencode) is old but not broken.
GROUNDS = frozenset(
    {
        Symbol.BASE64_BAD,
        Symbol.QP_BAD,
        Symbol.CTE_UNKNOWN,
        Symbol.CTE_WRONG,
        Symbol.CHARSET_UNKNOWN,
        Symbol.CHARSET_BAD,
        Symbol.BODY_NOT_7BIT,
        Symbol.BOUNDARY_MISSING,
        Symbol.BOUNDARY_BAD,
        Symbol.BOUNDARY_NEVER,
        Symbol.BOUNDARY_OPEN,
        Symbol.HIDDEN_PART,
    }
)

# What comes of a mail that a report brings back cut short. The rest readers take differently, be it in a report or not:
# a file could hide behind it.
CUT = frozenset({Symbol.BOUNDARY_NEVER, Symbol.BOUNDARY_OPEN, Symbol.BASE64_BAD, Symbol.QP_BAD, Symbol.CHARSET_BAD})

# Fields that people see, whose encoded words are looked at.
_SHOWN = frozenset({b"subject", b"from", b"sender", b"reply-to", b"to", b"cc"})


class Encoding:
    """Is an encoding, in the header or the body, or the MIME structure broken?"""

    name = "encoding"
    cost = Cost.PARSE
    anywhere = True
    Options = registry.Options

    def __init__(self, options: registry.Options, tools: Tools) -> None:
        pass

    def key(self, recipient: Recipient) -> Hashable:
        return None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        anatomy = await mail.anatomy()
        faults = [defect for defect in anatomy.defects if defect.symbol in GROUNDS]
        returned = anatomy.returned if faults else ()
        grounds = [
            (fault.symbol.value, fault.text)
            for fault in faults
            if fault.symbol not in CUT or fault.part not in returned
        ]
        return [
            Finding(category=Category.BAD_ENCODING, symbol=symbol, reason=plain(text), by=self.name)
            for symbol, text in [*_words(anatomy), *grounds][:TOLD]
        ]


def _words(anatomy: Anatomy) -> Iterator[tuple[str, str]]:
    for header in anatomy.headers:
        if header.value.find(b"=?") >= 0 and header.name.lower() in _SHOWN and (fault := word_fault(header.value)):
            yield "WORD_BAD", f"the {header.name.decode('ascii', 'replace')} field has an encoded word with {fault}"


FILTER = Encoding
