"""Identities: the addresses that a mailbox user may write as, each under a number that stays the same."""

from collections.abc import Iterator

import msgspec

from gatepost.message.compose import Party
from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq
from gatepost.model.tenant import DomainAlias, Group, GroupMember, User
from gatepost.services.accounts import name_of
from gatepost.services.author import Authors
from gatepost.store.store import Reader, Store

OWN = 1  # the number of the account's own address
MOST = 1000  # identities of one kind that are shown


class Identity(msgspec.Struct, frozen=True):
    """One address with the name before it."""

    number: int
    party: Party


class Identities:
    """A user's own address, the same under each further name of his domain, and the groups that list him (rules 11)."""

    def __init__(self, store: Store, authors: Authors) -> None:
        self._store = store
        self._authors = authors

    async def list(self, caller: Caller) -> list[Identity]:
        """Return the identities of a mailbox user, his own address first; raise FORBIDDEN for others."""
        user = self._authors.own(caller, caller.user_id or 0)
        return await self._store.read(lambda reader: list(_identities(reader, user)))

    async def find(self, caller: Caller, number: int) -> Party:
        """Return whom a user writes as under a number; raise NOT_FOUND."""
        for each in await self.list(caller):
            if each.number == number:
                return each.party
        raise Problem(Kind.NOT_FOUND, "There is no such identity.")


def _identities(reader: Reader, user: User) -> Iterator[Identity]:
    """Names of the domain have even numbers, groups odd ones, so that neither meets the other."""
    name, local = name_of(user), user.email.rpartition("@")[0]
    yield Identity(OWN, Party(user.email, name))
    for alias in reader.find(DomainAlias, Query(where=eq("domain_id", user.domain_id), limit=MOST)).items:
        yield Identity(2 * alias.id, Party(f"{local}@{alias.name}", name))
    listed = reader.find(GroupMember, Query(where=eq("email", user.email), limit=MOST)).items
    groups = reader.find(Group, Query(where=Where("id", Op.IN, [each.group_id for each in listed]))).items
    for group in groups:
        if group.domain_id == user.domain_id:
            yield Identity(2 * group.id + 1, Party(group.email, name))
