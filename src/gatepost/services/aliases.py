"""The further names of a domain: each stands for the domain's own and is unique among all names."""

from collections.abc import Sequence
from functools import partial

import msgspec

from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Page, Query, Where, eq, every
from gatepost.model.tenant import Domain, DomainAlias, DomainStatus
from gatepost.services.access import found
from gatepost.services.domains import free_name
from gatepost.services.mx import MxCheck
from gatepost.services.records import read_domain, show, unprocessable
from gatepost.services.shown import AliasView
from gatepost.store.store import Reader, Store, Writer
from gatepost.turns import shown

MANY = 1000  # names of one domain


class Aliases:
    """The further names of domains."""

    def __init__(self, store: Store, mx: MxCheck) -> None:
        self._store = store
        self._mx = mx

    async def find(self, caller: Caller, domain_id: int, query: Query) -> Page[AliasView]:
        """Return a page of a domain's further names."""

        def ask(reader: Reader) -> Page[DomainAlias]:
            found(caller, "DOMAINS_READ", reader.get(Domain, domain_id), "domain")
            where = every(eq("domain_id", domain_id), query.where)
            return reader.find(DomainAlias, msgspec.structs.replace(query, where=where))

        page = await self._store.read(ask)
        return await shown(page, partial(show, AliasView))

    async def add(self, caller: Caller, domain_id: int, names: Sequence[str]) -> list[AliasView]:
        """Add names, all or none; raise CONFLICT for one in use, UNPROCESSABLE where the domain is deleted.

        Others than sysadmins add those whose mail comes here (`MxCheck.claimed`). Returns the added ones.
        """
        wanted = _read(names)
        await self._check_claim(caller, domain_id, wanted)

        def change(writer: Writer) -> list[DomainAlias]:
            domain = found(caller, "DOMAINS_WRITE", writer.get(Domain, domain_id), "domain")
            return _add(writer, domain, dict(enumerate(wanted)))

        return [show(AliasView, alias) for alias in await self._store.write(change)]

    async def replace(self, caller: Caller, domain_id: int, names: Sequence[str]) -> None:
        """Make these the domain's names; one that stays keeps its id. Raises what `add` raises."""
        wanted = _read(names)
        await self._check_claim(caller, domain_id, wanted)

        def change(writer: Writer) -> None:
            domain = found(caller, "DOMAINS_WRITE", writer.get(Domain, domain_id), "domain")
            old = writer.find(DomainAlias, Query(where=eq("domain_id", domain.id))).items
            gone = [alias.id for alias in old if alias.name not in wanted]
            writer.remove(DomainAlias, Where("id", Op.IN, gone))
            kept = {alias.name for alias in old}
            _add(writer, domain, {at: name for at, name in enumerate(wanted) if name not in kept})

        await self._store.write(change)

    async def _check_claim(self, caller: Caller, domain_id: int, names: Sequence[str]) -> None:
        reader = self._store.reader
        domain = found(caller, "DOMAINS_WRITE", reader.get(Domain, domain_id), "domain")
        known = {alias.name for alias in reader.find(DomainAlias, Query(where=eq("domain_id", domain.id))).items}
        await self._mx.claimed(caller, {name: f"/{at}" for at, name in enumerate(names) if name not in known})

    async def delete(self, caller: Caller, domain_id: int, alias_id: int) -> None:
        """Take a name away from a domain."""

        def change(writer: Writer) -> None:
            domain = found(caller, "DOMAINS_WRITE", writer.get(Domain, domain_id), "domain")
            if not writer.remove(DomainAlias, every(eq("id", alias_id), eq("domain_id", domain.id))):
                raise Problem(Kind.NOT_FOUND, "There is no such alias.")

        await self._store.write(change)


def _read(names: Sequence[str]) -> list[str]:
    wanted = [read_domain(name, f"/{index}") for index, name in enumerate(names)]
    if len(set(wanted)) != len(wanted):
        twice = next(index for index, name in enumerate(wanted) if name in wanted[:index])
        raise Problem(Kind.CONFLICT, "A name is given twice.", pointer=f"/{twice}")
    return wanted


def _add(writer: Writer, domain: Domain, names: dict[int, str]) -> list[DomainAlias]:
    if names and domain.status is DomainStatus.DELETED:
        raise unprocessable("The domain is deleted.", "")
    if writer.count(DomainAlias, eq("domain_id", domain.id)) + len(names) > MANY:
        raise unprocessable(f"A domain has at most {MANY} further names.", "")
    for index, name in names.items():
        free_name(writer, name, f"/{index}")
    return [writer.add(DomainAlias(domain_id=domain.id, name=name)) for name in names.values()]
