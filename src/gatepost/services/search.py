"""What can be searched for in a folder, and the conditions that its criteria make (contract 5.7.8)."""

from enum import StrEnum

import msgspec

from gatepost.model.query import All, Any, Condition, Not, Op, Pattern, Where, eq
from gatepost.store.store import Reader

NAMESAKES = 500  # mails of one Message-ID, in all mailboxes, up to which they are looked through one by one


class Operator(StrEnum):
    """How the criteria of a search combine; NOT: none of them holds (contract A40)."""

    AND = "AND"
    OR = "OR"
    NOT = "NOT"


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for in a folder; texts are found anywhere, in any case; a star at an end, as lists take it, is no
    part of them. Times in epoch milliseconds.
    """

    id: str | None = None
    from_: str | None = None
    to: str | None = None
    cc: str | None = None
    subject: str | None = None
    body: str | None = None
    received_after: int | None = None
    received_before: int | None = None
    operator: Operator = Operator.AND


def criteria(search: Search) -> tuple[Condition, ...]:
    """Return what is searched for, but for bodies and ids."""
    texts = {
        "header_from": search.from_,
        "header_to": search.to,
        "header_cc": search.cc,
        "subject": search.subject,
    }
    found: list[Condition] = [
        Where(field, Op.LIKE, Pattern(Pattern.read(text).text, open_start=True, open_end=True))
        for field, text in texts.items()
        if text
    ]
    if search.received_after is not None:
        found.append(Where("received", Op.GE, search.received_after))
    if search.received_before is not None:
        found.append(Where("received", Op.LE, search.received_before))
    return tuple(found)


def combined(conditions: tuple[Condition, ...], operator: Operator) -> Condition:
    """Return one condition of several; no criterion at all: everything."""
    if not conditions or operator is Operator.AND:
        return All(conditions)
    return Any(conditions) if operator is Operator.OR else Not(Any(conditions))


def by_id(mail: str, mailbox: str, reader: Reader) -> Condition:
    """Return the condition for a mailbox's copies of the mails with an id: ours, or a Message-ID.

    They are found by the mails' own keys, unless very many bear that Message-ID.
    """
    bare = mail.strip().removeprefix("<").removesuffix(">")
    mails = reader.messages(bare, NAMESAKES) if bare else []
    names = (bare, f"<{bare}>")
    if len(mails) == NAMESAKES:
        return Any((eq("mail_id", bare.lower()), Where("message_id", Op.IN, names)))
    spelt = {name.lower() for name in names}
    ids = [each.id for each in mails if each.id == bare.lower() or each.message_id.lower() in spelt]
    return Where("id", Op.IN, reader.copies_of(mailbox, ids))
