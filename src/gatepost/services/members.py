"""What an account's or a group's address bears, kept true when it changes: places in groups of its domain, and mail."""

from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.tenant import Group, GroupMember, User
from gatepost.services.relocations import set_out
from gatepost.store.store import Reader, Writer


def rename(writer: Writer, owner: User | Group, email: str) -> None:
    """Give the owner's places, and its mail as `set_out` does, to its new address; where that has a place already, the
    old one goes. `owner` as it was before."""
    if email == owner.email:
        return
    for member in _places(writer, owner):
        if writer.first(GroupMember, every(eq("group_id", member.group_id), eq("email", email))) is None:
            writer.change(GroupMember, member.id, email=email)
        else:
            writer.remove(GroupMember, eq("id", member.id))
    set_out(writer, owner.email, email)


def leave(writer: Writer, owner: User | Group) -> None:
    """Take the owner out of the groups of its domain."""
    writer.remove(GroupMember, Where("id", Op.IN, [member.id for member in _places(writer, owner)]))


def _places(reader: Reader, owner: User | Group) -> list[GroupMember]:
    members = reader.find(GroupMember, Query(where=eq("email", owner.email))).items
    groups = reader.find(Group, Query(where=Where("id", Op.IN, [member.group_id for member in members]))).items
    own = {group.id for group in groups if group.domain_id == owner.domain_id}
    return [member for member in members if member.group_id in own]
