"""What an account's or a group's address bears, kept true when it changes: places in groups of its domain, and mail."""

from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.tenant import Group, GroupMember, User
from gatepost.store.store import Reader, Store, Writer


def rename(writer: Writer, owner: User | Group, email: str) -> None:
    """Give the owner's places to its new address; where that has one already, the old one goes."""
    if email == owner.email:
        return
    for member in _places(writer, owner):
        if writer.first(GroupMember, every(eq("group_id", member.group_id), eq("email", email))) is None:
            writer.change(GroupMember, member.id, email=email)
        else:
            writer.remove(GroupMember, eq("id", member.id))


async def move_mail(store: Store, owner: User | Group, upto: int) -> None:
    """Give the mail kept under an owner's former address to the one that it has now, a slice at a time (rules 17).

    `owner` as it was before the change, `upto` the newest copy then: what comes later is the next holder's of the
    address. What a crash leaves behind comes along with the next change of the address, there and back.
    """

    def move(writer: Writer) -> bool:
        now = writer.get(type(owner), owner.id)
        changed = now is not None and now.email != owner.email  # it may have changed again, or gone, meanwhile
        return bool(now and changed and writer.move_copies(owner.email, now.email, upto))

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
