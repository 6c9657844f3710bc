"""What can be searched for in a folder, and the conditions that its criteria make (contract 5.7.8)."""

from enum import StrEnum

import msgspec

from gatepost.model.query import All, Any, Condition, Not, Op, Pattern, Where, eq


class Operator(StrEnum):
    """How the criteria of a search combine; NOT: none of them holds (contract A40)."""

    AND = "AND"
    OR = "OR"
    NOT = "NOT"


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for in a folder; texts are found anywhere, in any case. Times in epoch milliseconds."""

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
    """Return what is searched for outside of bodies."""
    texts = {
        "header_from": search.from_,
        "header_to": search.to,
        "header_cc": search.cc,
        "subject": search.subject,
    }
    found: list[Condition] = [
        Where(field, Op.LIKE, Pattern(text, open_start=True, open_end=True)) for field, text in texts.items() if text
    ]
    if search.id:
        found.append(by_id(search.id))
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


def by_id(mail: str) -> Condition:
    """Return the condition for a mail's id: ours, or its Message-ID with or without the angle brackets."""
    bare = strip_id(mail)
    return Any((eq("mail_id", bare.lower()), Where("message_id", Op.IN, (bare, f"<{bare}>"))))


def strip_id(mail: str) -> str:
    """Return an id without blanks and angle brackets around it."""
    return mail.strip().removeprefix("<").removesuffix(">")
