"""Groups: addresses of a domain that stand for others; the contract calls them e-mail aliases."""

from collections import defaultdict
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, Op, Page, Query, Where, eq, every
from gatepost.model.tenant import Domain, DomainAlias, DomainStatus, Group, GroupMember, User
from gatepost.model.values import Id
from gatepost.services.access import found, require
from gatepost.services.members import leave, rename
from gatepost.services.records import Line, read_address, unprocessable
from gatepost.services.relocations import finish
from gatepost.services.users import own_address
from gatepost.store.store import Reader, Store, Writer

SLICE = 500


class RecipientType(StrEnum):
    """What a recipient is: an account of the domain, another group, or an address elsewhere."""

    USER = "USER"
    ALIAS = "ALIAS"
    EXTERNAL_ADDRESS = "EXTERNAL_ADDRESS"


class GroupAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A group to make or to change; recipients, when given, replace the list."""

    email: Line
    recipients: list[Line] | None = None


class GroupUpdate(msgspec.Struct, kw_only=True, rename="camel"):
    """Any subset of a group."""

    email: Line | None = None
    recipients: list[Line] | None = None


class RecipientView(msgspec.Struct, kw_only=True, rename="camel"):
    """A recipient of a group; the names are there only for accounts of the domain."""

    id: Id
    email: str
    firstname: str | None
    lastname: str | None
    type: RecipientType


class GroupView(msgspec.Struct, kw_only=True, rename="camel"):
    """A group with its recipients."""

    id: Id
    email: str
    recipients: list[RecipientView]


class Groups:
    """The groups of domains. `members` is how many recipients one may have."""

    def __init__(self, store: Store, *, members: int) -> None:
        self._store = store
        self._members = members

    async def find(self, caller: Caller, domain_id: int, query: Query) -> Page[GroupView]:
        """Return a page of a domain's groups; the condition may name a `recipient`."""

        def ask(reader: Reader) -> Page[GroupView]:
            found(caller, "GROUPS_READ", reader.get(Domain, domain_id), "domain")
            where = every(eq("domain_id", domain_id), _narrow(reader, domain_id, query.where))
            page = reader.find(Group, msgspec.structs.replace(query, where=where))
            return Page(_show(reader, domain_id, page.items), page.total)

        return await self._store.read(ask)

    async def get(self, caller: Caller, domain_id: int, group_id: int) -> GroupView:
        """Return a group."""

        def ask(reader: Reader) -> GroupView:
            _, group = _find(reader, caller, "GROUPS_READ", domain_id, group_id)
            return _show(reader, domain_id, [group])[0]

        return await self._store.read(ask)

    async def create(self, caller: Caller, domain_id: int, draft: GroupAdd) -> GroupView:
        """Make a group; raise MALFORMED for an address elsewhere, CONFLICT for one in use."""

        def add(writer: Writer) -> GroupView:
            domain = found(caller, "GROUPS_WRITE", writer.get(Domain, domain_id), "domain")
            if domain.status is DomainStatus.DELETED:
                raise unprocessable("The domain is deleted.", "")
            group = writer.add(Group(domain_id=domain.id, email=own_address(writer, domain, draft.email)))
            self._set(writer, group, draft.recipients or [], "/recipients")
            return _show(writer, domain_id, [group])[0]

        return await self._store.write(add)

    async def update(self, caller: Caller, domain_id: int, group_id: int, change: GroupUpdate) -> None:
        """Change the address, in the groups that name it too, and replace the recipients when they are given.

        Recipients that stay keep their ids; mail kept for the group goes along.
        """

        def alter(writer: Writer) -> Group:
            domain, group = _find(writer, caller, "GROUPS_WRITE", domain_id, group_id)
            if change.email is not None:
                email = own_address(writer, domain, change.email, but=group)
                writer.change(Group, group.id, email=email)
                rename(writer, group, email)
            if change.recipients is not None:
                self._set(writer, group, change.recipients, "/recipients")
            return group

        await finish(self._store, (await self._store.write(alter)).email)

    async def delete(self, caller: Caller, group_id: int) -> None:
        """Delete a group, and its places in other groups of the domain."""

        def remove(writer: Writer) -> None:
            group = writer.get(Group, group_id)
            require(caller, "GROUPS_WRITE", writer.get(Domain, group.domain_id) if group else None)
            if group is None:
                raise Problem(Kind.NOT_FOUND, "There is no such group.")
            leave(writer, group)
            writer.remove(GroupMember, eq("group_id", group.id))
            writer.remove(Group, eq("id", group.id))

        await self._store.write(remove)

    async def add(self, caller: Caller, domain_id: int, group_id: int, emails: Sequence[str]) -> GroupView:
        """Add recipients; one that is there already stays as it is. Returns the whole group."""

        def alter(writer: Writer) -> GroupView:
            _, group = _find(writer, caller, "GROUPS_WRITE", domain_id, group_id)
            self._add(writer, group, _read(writer, group, emails, ""), "")
            return _show(writer, domain_id, [group])[0]

        return await self._store.write(alter)

    async def remove(self, caller: Caller, domain_id: int, group_id: int, member_id: int) -> None:
        """Take one recipient out of a group."""

        def alter(writer: Writer) -> None:
            _, group = _find(writer, caller, "GROUPS_WRITE", domain_id, group_id)
            if not writer.remove(GroupMember, every(eq("id", member_id), eq("group_id", group.id))):
                raise Problem(Kind.NOT_FOUND, "The group has no such recipient.")

        await self._store.write(alter)

    def _set(self, writer: Writer, group: Group, emails: Sequence[str], at: str) -> None:
        wanted = _read(writer, group, emails, at)
        gone = [member.id for member in _members(writer, [group.id]) if member.email not in wanted]
        writer.remove(GroupMember, Where("id", Op.IN, gone))
        self._add(writer, group, wanted, at)

    def _add(self, writer: Writer, group: Group, wanted: Sequence[str], at: str) -> None:
        kept = {member.email for member in _members(writer, [group.id])}
        new = [email for email in wanted if email not in kept]
        if len(kept) + len(new) > self._members:
            raise unprocessable(f"A group has at most {self._members} recipients.", at)
        for email in new:
            writer.add(GroupMember(group_id=group.id, email=email))


def _read(reader: Reader, group: Group, emails: Sequence[str], at: str) -> list[str]:
    """Return recipients' addresses in their one form, each once; those under an alias of the domain by its own name."""
    keys = [read_address(email, f"{at}/{index}").key.rpartition("@") for index, email in enumerate(emails)]
    domain = reader.get(Domain, group.domain_id)
    aliases = reader.find(DomainAlias, Query(where=eq("domain_id", group.domain_id))).items
    names = {alias.name: domain.name for alias in aliases} if domain else {}
    return list(dict.fromkeys(f"{local}@{names.get(name, name)}" for local, _, name in keys))


def _find(reader: Reader, caller: Caller, permission: str, domain_id: int, group_id: int) -> tuple[Domain, Group]:
    domain = found(caller, permission, reader.get(Domain, domain_id), "domain")
    group = reader.get(Group, group_id)
    if group is None or group.domain_id != domain.id:
        raise Problem(Kind.NOT_FOUND, "The domain has no such group.")
    return domain, group


def _members(reader: Reader, ids: Sequence[int]) -> list[GroupMember]:
    return reader.find(GroupMember, Query(where=Where("group_id", Op.IN, list(ids)))).items


def _narrow(reader: Reader, domain_id: int, where: Condition) -> Condition:
    """Turn a condition on a recipient into one on the group, looking through the domain's groups in slices."""
    if isinstance(where, All):
        return All(tuple(_narrow(reader, domain_id, part) for part in where.of))
    if not (isinstance(where, Where) and where.field == "recipient"):
        return where
    groups = [group.id for group in reader.find(Group, Query(where=eq("domain_id", domain_id))).items]
    found_in: set[int] = set()
    for start in range(0, len(groups), SLICE):
        some = Where("group_id", Op.IN, groups[start : start + SLICE])
        named = reader.find(GroupMember, Query(where=every(some, Where("email", where.op, where.value)))).items
        found_in.update(member.group_id for member in named)
    return Where("id", Op.IN, sorted(found_in))


def _show(reader: Reader, domain_id: int, groups: Sequence[Group]) -> list[GroupView]:
    members = _members(reader, [group.id for group in groups])
    inside: defaultdict[int, list[GroupMember]] = defaultdict(list)
    for member in members:
        inside[member.group_id].append(member)
    emails = list({member.email for member in members})
    users = {user.email: user for user in reader.find(User, Query(where=Where("email", Op.IN, emails))).items}
    here = every(eq("domain_id", domain_id), Where("email", Op.IN, emails))  # of others nothing is told
    others = {group.email for group in reader.find(Group, Query(where=here)).items}

    def view(member: GroupMember) -> RecipientView:
        user = users.get(member.email)
        own = user if user and user.domain_id == domain_id else None
        kind = RecipientType.USER if own else RecipientType.ALIAS if member.email in others else None
        return RecipientView(
            id=Id(member.id),
            email=member.email,
            firstname=own.firstname if own else None,
            lastname=own.lastname if own else None,
            type=kind or RecipientType.EXTERNAL_ADDRESS,
        )

    return [
        GroupView(
            id=Id(group.id),
            email=group.email,
            recipients=[view(member) for member in inside[group.id]],
        )
        for group in reader.paced(groups)
    ]
