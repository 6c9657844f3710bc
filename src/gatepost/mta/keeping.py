"""What a judged mail leaves: the copies on folders, the accounts of newcomers, and what else goes with it."""

from collections.abc import Callable, Sequence

import msgspec

from gatepost.model.address import Address
from gatepost.model.envelope import Envelope, Recipient
from gatepost.model.policy import Policy
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import eq
from gatepost.model.stored import Copy
from gatepost.model.tenant import Domain, Group, User
from gatepost.model.verdict import HOLDS, Action, Category, Folder, Verdict
from gatepost.model.webhook import HookCall
from gatepost.mta.home import relocation
from gatepost.mta.judge import Case, judge
from gatepost.mta.nearest import Change
from gatepost.mta.rows import copy_row
from gatepost.mta.served import CHANGED
from gatepost.store.bulk import Keep
from gatepost.store.mail import Kept
from gatepost.store.store import Writer

Also = Callable[[Writer], object]
"""What is written together with a mail."""


class Judged(msgspec.Struct, frozen=True):
    """A recipient with its verdict, and what would have changed it."""

    recipient: Recipient
    verdict: Verdict
    near: tuple[Change, ...] = ()


def made_copies(
    envelope: Envelope,
    judged: Sequence[Judged],
    own: Policy | None,
    author: Address | None,
    holder: Callable[[str], tuple[int | None, int | None]],
) -> list[Copy]:
    """Return one copy for each mailbox and folder, however many recipients asked for it.

    `own` is the policy of who signed in: by it he keeps what he sent, also where it stays in the house; None where he
    keeps nothing. `author` as `copy_row`; `holder` says whose an address is (its key), an account's or a group's; it
    is asked where nobody signed in: what he sent is his, and not shown to who has his address next.
    """
    copies: dict[tuple[str, Folder], Copy] = {}
    for each in judged:
        for keep in each.verdict.keep:
            row = copy_row(envelope, each.recipient, each.verdict, keep, author)
            if row.user_id is None:
                user_id, group_id = holder(row.mailbox)
                row = msgspec.structs.replace(row, user_id=user_id, group_id=group_id)
            known = copies.get((row.mailbox, keep.folder))
            copies[row.mailbox, keep.folder] = row if known is None else _both(known, row)
    if own is not None and any(_is_sent(each) for each in judged):
        for row in _sent(envelope, own):
            copies.setdefault((row.mailbox, Folder(row.folder)), row)
    return list(copies.values())


def _both(one: Copy, other: Copy) -> Copy:
    """Return the copy that serves two recipients, as of one who writes to himself and to somebody outside."""
    return msgspec.structs.replace(
        one,
        user_id=other.user_id if one.user_id is None else one.user_id,
        infected=one.infected or other.infected,
        expires_at=max(one.expires_at, other.expires_at),
        held_for=[*_to(one), *_to(other)] if one.held_for or other.held_for else [],
        connection_id=other.connection_id if one.connection_id is None else one.connection_id,
    )


def _to(copy: Copy) -> list[str]:
    """Return to whom a release sends a copy that others share: what is held for nobody else is held for its mailbox."""
    return copy.held_for or ([copy.mailbox] if copy.folder in HOLDS else [])


def _is_sent(judged: Judged) -> bool:
    return judged.verdict.action is Action.DELIVER and judged.verdict.category is Category.CLEAN


def _sent(envelope: Envelope, own: Policy) -> list[Copy]:
    """The sender's copies: as if the mail went to somebody outside."""
    login, sender = envelope.client.login, envelope.sender
    if login is None or sender is None:
        return []
    verdict = judge((), Case(policy=own, received=envelope.received, outgoing=True))
    outside = Recipient(address=sender, given=sender, domain_id=login.domain_id)
    return [copy_row(envelope, outside, verdict, keep) for keep in verdict.keep]


def calling(calls: Sequence[HookCall]) -> Also:
    """Return what writes down whom to call."""

    def add(writer: Writer) -> None:
        for call in calls:
            writer.add(call)

    return add


def welcome(
    writer: Writer,
    arrival: Callable[[Sequence[Copy]], Keep],
    copies: Sequence[Copy],
    newcomers: Sequence[Recipient],
    now: int,
) -> Kept:
    """Keep a mail, and make the accounts of those who get their first; the copies are theirs.

    They are as old as the mail, that its trace be theirs too: `now` is when it came in.
    """
    users = {recipient.address.key: _provision(writer, recipient, now) for recipient in newcomers}
    owned = [msgspec.structs.replace(copy, user_id=users.get(copy.mailbox, copy.user_id)) for copy in copies]
    return arrival(owned)(writer)


def _provision(writer: Writer, recipient: Recipient, now: int) -> int | None:
    """Make the account of an address that its platform knows; the one that exists by now wins.

    None while a former holder's mail is moved: a later mail makes it. Raises Problem(UNAVAILABLE) where the
    address is a group's by now, or the domain has another name.
    """
    key = recipient.address.key
    known = writer.first(User, eq("email", key))
    if known is not None:
        return known.id
    domain = writer.get(Domain, recipient.domain_id or 0)
    if domain is None or domain.name != recipient.domain or writer.first(Group, eq("email", key)) is not None:
        raise Problem(Kind.UNAVAILABLE, CHANGED)
    if relocation(writer, key) is not None:
        return None
    heir = writer.may_keep_for_another(key, None)
    user = User(domain_id=domain.id, email=key, language=domain.default_language, creation_date=now, heir=heir)
    return writer.add(user).id
