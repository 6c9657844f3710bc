"""What an account's or a group's address bears, kept true when it changes: places in groups of its domain, and mail."""

from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.tenant import Group, GroupMember, User
from gatepost.store.store import Reader, Store, Writer

SLICE = 200  # copies that are moved by one write


def rename(writer: Writer, owner: User | Group, email: str) -> None:
    """Give the owner's places to its new address; where that has one already, the old one goes."""
    if email == owner.email:
        return
    for member in _places(writer, owner):
        if writer.first(GroupMember, every(eq("group_id", member.group_id), eq("email", email))) is None:
            writer.change(GroupMember, member.id, email=email)
        else:
            writer.remove(GroupMember, eq("id", member.id))


def move_first(writer: Writer, owner: User | Group, email: str) -> int:
    """Give the first slice of the mail kept under an owner's address to its new one, with the change itself.

    `owner` as it was before. Returns the newest copy that is left to `move_mail`, 0 where nothing is left.
    """
    if email == owner.email:
        return 0
    upto = writer.newest_copy()
    return upto if writer.move_copies(owner.email, email, upto, SLICE) == SLICE else 0


async def move_mail(store: Store, owner: User | Group, upto: int) -> None:
    """Give the rest of what is kept under an owner's former address to the one that it has now (rules 17).

    `owner` as it was before the change, `upto` the newest copy then: what comes later is the next holder's of the
    address. What a crash, or a store without room, leaves behind comes along with the next change, there and back.
    """

    def move(writer: Writer) -> bool:
        now = writer.get(type(owner), owner.id)
        changed = now is not None and now.email != owner.email  # it may have changed again, or gone, meanwhile
        return bool(now and changed and writer.move_copies(owner.email, now.email, upto, SLICE))

    while upto and await store.prepare(move):
        pass


def leave(writer: Writer, owner: User | Group) -> None:
    """Take the owner out of the groups of its domain."""
    writer.remove(GroupMember, Where("id", Op.IN, [member.id for member in _places(writer, owner)]))


def _places(reader: Reader, owner: User | Group) -> list[GroupMember]:
    members = reader.find(GroupMember, Query(where=eq("email", owner.email))).items
    groups = reader.find(Group, Query(where=Where("id", Op.IN, [member.group_id for member in members]))).items
    own = {group.id for group in groups if group.domain_id == owner.domain_id}
    return [member for member in members if member.group_id in own]
