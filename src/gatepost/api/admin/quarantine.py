"""What is held, over all mailboxes: looked through, released and deleted by administrators (additions)."""

from urllib.parse import quote

import msgspec

from gatepost.api.admin.letters import HeldMail, show_held
from gatepost.api.endpoint import Call, endpoint
from gatepost.api.listing import Listing, address, sent, text, word
from gatepost.model.access import Caller
from gatepost.model.problem import Kind
from gatepost.model.query import Page, Query, every
from gatepost.model.stored import Letter
from gatepost.model.values import Id
from gatepost.model.verdict import Category
from gatepost.services.quarantine import Quarantine
from gatepost.turns import shown

LIST = Listing(sort="-id", sorts=("id",))
READINGS = {
    "mailbox": address("mailbox"),
    "category": word("category", Category),
    "sender": sent("sender"),
    "subject": text("subject"),
}


class HeldAsk(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which of it: all that is given must hold; texts may begin and end with a star. `before` goes on behind an id."""

    domain_id: Id | None = None
    before: Id | None = None
    mailbox: str | None = None
    category: str | None = None
    sender: str | None = None
    subject: str | None = None


@endpoint("GET", "/quarantine", permission="MAILS_READ", listing=LIST, addition=True, problems=(Kind.NOT_FOUND,))
async def list_quarantine(
    quarantine: Quarantine, caller: Caller, call: Call, query: HeldAsk, listed: Query
) -> Page[HeldMail]:
    """List the mails that are held, over all mailboxes in scope, the newest first; go on by `before` (the last id)."""
    given = ((READINGS[name], getattr(query, name)) for name in READINGS)
    where = every(*(reading(value, call.desk.ids) for reading, value in given if value is not None))
    asked = msgspec.structs.replace(listed, where=where)
    page = await quarantine.find(caller, asked, domain_id=query.domain_id, before=query.before)
    return await shown(page, lambda letter: show_held(_root(call, letter), letter))


@endpoint("GET", "/quarantine/{heldId}", permission="MAILS_READ", addition=True)
async def get_held(quarantine: Quarantine, caller: Caller, call: Call, held_id: Id) -> HeldMail:
    """Return one held mail."""
    letter = await quarantine.get(caller, held_id)
    return show_held(_root(call, letter), letter)


@endpoint(
    "POST",
    "/quarantine/{heldId}/release",
    permission="QUARANTINE_RELEASE",
    headers=("X-Virus-Lover",),
    addition=True,
    problems=(Kind.PRECONDITION, Kind.UNPROCESSABLE),
)
async def release_held(quarantine: Quarantine, caller: Caller, call: Call, held_id: Id) -> None:
    """Send a held mail on, without its spam tag; an infected one only with X-Virus-Lover."""
    await quarantine.release(caller, held_id, virus_lover=call.flag("X-Virus-Lover"))


@endpoint("DELETE", "/quarantine/{heldId}", permission="MAILS_WRITE", addition=True)
async def delete_held(quarantine: Quarantine, caller: Caller, held_id: Id) -> None:
    """Delete a held mail before its term; what became of it stays on record."""
    await quarantine.delete(caller, held_id)


def _root(call: Call, letter: Letter) -> str:
    copy = letter.copy
    who = call.desk.ids.show(copy.user_id) if copy.user_id else quote(copy.mailbox, safe="@")
    return f"{call.base}/users/{who}/emails"
