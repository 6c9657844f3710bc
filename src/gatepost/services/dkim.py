"""DKIM keys of domains: made or imported, replaced with an overlap, looked for in DNS; no private half comes out."""

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from gatepost.dns import DnsFailure, Missing, Resolver
from gatepost.events import Clock, log
from gatepost.mailauth import keys as proofs
from gatepost.mailauth.keys import BadKey, Pair
from gatepost.model.access import Caller
from gatepost.model.dkim import SELECTOR, Algorithm, DkimKey, of_algorithm, superseded
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Query, Where, eq
from gatepost.model.tenant import Domain, DomainAlias
from gatepost.services.access import found, require_sysadmin
from gatepost.services.records import Line, unprocessable
from gatepost.store.store import Reader, Store, Writer

KeyText = Annotated[str, Meta(max_length=10_000)]
NAME_MAX = 253


class DkimAdd(msgspec.Struct, kw_only=True, rename="camel"):
    """A key to install; without a private key one is made. `algorithm` is our addition.

    The private key is PEM or the base64 of its DER; the public key may be given to have it compared.
    """

    private_key: KeyText | None = None
    public_key: KeyText | None = None
    selector: Line | None = None
    algorithm: Algorithm | None = None


class Sight(msgspec.Struct, frozen=True):
    """What stands in DNS for one key under one name: `found` None where there is no record; `failure` if DNS fails."""

    name: str
    key: DkimKey
    found: bool | None = None
    failure: str = ""


class Dkim:
    """The keys by which the mail of domains is signed. `selector` is what new keys are called."""

    def __init__(self, store: Store, resolver: Resolver, selector: str, clock: Clock) -> None:
        self._store = store
        self._resolver = resolver
        self._selector = selector
        self._clock = clock

    async def get(self, caller: Caller, domain_id: int) -> list[str]:
        """Return the records that must stand in DNS; raise NOT_FOUND where the domain has no key.

        While a replacement is not seen yet, the records of the key that signs until then are among them.
        """

        def ask(reader: Reader) -> list[str]:
            domain = found(caller, "DKIM_READ", reader.get(Domain, domain_id), "domain")
            known = keys_of(reader, domain.id)
            if not known:
                raise Problem(Kind.NOT_FOUND, "The domain has no DKIM key.")
            return _lines(known, names_of(reader, domain))

        return await self._store.read(ask)

    async def create(self, caller: Caller, domain_id: int, wanted: DkimAdd) -> list[str]:
        """Make or import a key; return its records. CONFLICT where the domain has one of that algorithm."""
        require_sysadmin(caller)
        pair = await self._pair(domain_id, wanted)

        def change(writer: Writer) -> list[str]:
            domain = found(caller, "DKIM_WRITE", writer.get(Domain, domain_id), "domain")
            known = keys_of(writer, domain.id)
            if of_algorithm(known, pair.algorithm):
                text = f"The domain has a DKIM key ({pair.algorithm.value}), which can be replaced."
                raise Problem(Kind.CONFLICT, text, pointer="/algorithm")
            return self._add(writer, domain, known, pair, wanted)

        return await self._store.write(change)

    async def replace(self, caller: Caller, domain_id: int, wanted: DkimAdd) -> list[str]:
        """Make or import a key in place of the one of its algorithm; return its records.

        The old key signs on until the new record is seen in DNS. A replacement that was never seen is forgotten.
        """
        require_sysadmin(caller)
        pair = await self._pair(domain_id, wanted)

        def change(writer: Writer) -> list[str]:
            domain = found(caller, "DKIM_WRITE", writer.get(Domain, domain_id), "domain")
            known = keys_of(writer, domain.id)
            waiting = [key.id for key in of_algorithm(known, pair.algorithm)[1:] if not key.seen]
            writer.remove(DkimKey, Where("id", Op.IN, waiting))
            return self._add(writer, domain, known, pair, wanted)

        return await self._store.write(change)

    async def delete(self, caller: Caller, domain_id: int) -> None:
        """Remove the keys of a domain: its mail is signed no more."""
        require_sysadmin(caller)

        def change(writer: Writer) -> None:
            domain = found(caller, "DKIM_WRITE", writer.get(Domain, domain_id), "domain")
            writer.remove(DkimKey, eq("domain_id", domain.id))

        await self._store.write(change)

    async def look(self, domain: Domain) -> list[Sight]:
        """Look for the records of a domain's keys in DNS, and let a replacement that is seen take over."""
        reader = self._store.reader
        known, names = keys_of(reader, domain.id), names_of(reader, domain)
        sights = await asyncio.gather(*(self._sight(name, key) for key in known for name in names))
        changed = [key for key in (_marked(key, sights) for key in known) if key is not None]
        if changed:
            await self._store.write(lambda writer: self._mark(writer, domain, changed))
        return list(sights)

    async def look_for_waiting(self) -> None:
        """Look for the records of replacements that wait for theirs."""
        waiting = (await self._store.read(lambda reader: reader.find(DkimKey, Query(where=eq("waiting", True))))).items
        for domain_id in dict.fromkeys(key.domain_id for key in waiting):
            domain = self._store.reader.get(Domain, domain_id)
            if domain is not None:
                await self.look(domain)

    async def _sight(self, name: str, key: DkimKey) -> Sight:
        try:
            records = proofs.published(await self._resolver.txt(key.place(name)))
        except Missing:
            return Sight(name, key)
        except DnsFailure as error:
            return Sight(name, key, failure=str(error))
        return Sight(name, key, found=key.public in records if records else None)

    def _mark(self, writer: Writer, domain: Domain, changed: Sequence[DkimKey]) -> None:
        """Write where keys are seen; those that have had their turn go."""
        names = names_of(writer, domain)
        for key in changed:
            writer.change(DkimKey, key.id, seen=key.seen, waiting=key.waiting and not set(names) <= set(key.seen))
        gone = superseded(keys_of(writer, domain.id), names)
        writer.remove(DkimKey, Where("id", Op.IN, [key.id for key in gone]))
        for key in gone:
            log.info("DKIM key retired", domain=domain.name, selector=key.selector)

    async def _pair(self, domain_id: int, wanted: DkimAdd) -> Pair:
        """Return the key that is asked for; raise NOT_FOUND before any work, MALFORMED and UNPROCESSABLE."""
        if self._store.reader.get(Domain, domain_id) is None:
            raise Problem(Kind.NOT_FOUND, "There is no such domain.")
        if not wanted.private_key:
            if wanted.public_key:
                raise unprocessable("A public key signs nothing; its private key must come along.", "/privateKey")
            return await asyncio.to_thread(proofs.generate, wanted.algorithm or Algorithm.RSA)
        pair = await asyncio.to_thread(_read, wanted.private_key)
        if wanted.algorithm not in (None, pair.algorithm):
            raise unprocessable(f"The private key is of {pair.algorithm.value}.", "/algorithm")
        if wanted.public_key and _public(wanted.public_key) != pair.public:
            raise unprocessable("The public key does not belong to the private key.", "/publicKey")
        return pair

    def _add(self, writer: Writer, domain: Domain, known: Sequence[DkimKey], pair: Pair, wanted: DkimAdd) -> list[str]:
        names = names_of(writer, domain)
        selector = self._chosen(known, pair.algorithm, wanted.selector)
        key = DkimKey(
            domain_id=domain.id,
            selector=selector,
            algorithm=pair.algorithm,
            public=pair.public,
            private=self._store.secrets.seal(pair.private),
            waiting=bool(of_algorithm(known, pair.algorithm)),
            created_at=self._clock(),
        )
        if any(len(key.place(name)) > NAME_MAX for name in names):
            raise unprocessable("With this selector the record's name is too long.", "/selector")
        return _lines([writer.add(key)], names)

    def _chosen(self, known: Sequence[DkimKey], algorithm: Algorithm, given: str | None) -> str:
        """Return the selector that is given, else the next one that no key of the domain has had."""
        others = {key.selector for key in known if key.algorithm is not algorithm}
        if not given:
            stem = self._selector if algorithm is Algorithm.RSA else f"{self._selector}-{algorithm.value}"
            return _next(stem, [key.selector for key in known])
        selector = given.lower()
        if not SELECTOR.match(selector):
            raise Problem(Kind.MALFORMED, "This is not a DKIM selector.", pointer="/selector")
        if selector in others:
            raise unprocessable("The domain's key of another algorithm has this selector.", "/selector")
        return selector


def keys_of(reader: Reader, domain_id: int) -> list[DkimKey]:
    """Return a domain's keys, the earliest first."""
    return reader.find(DkimKey, Query(where=eq("domain_id", domain_id))).items


def names_of(reader: Reader, domain: Domain) -> list[str]:
    """Return the names of a domain: its own, then its aliases."""
    aliases = reader.find(DomainAlias, Query(where=eq("domain_id", domain.id), sort="name")).items
    return [domain.name, *(alias.name for alias in aliases)]


def _lines(known: Sequence[DkimKey], names: Sequence[str]) -> list[str]:
    """Return the records of keys: RSA first, later keys before earlier; a selector that was kept has the later one."""
    ordered = [key for algorithm in Algorithm for key in reversed(of_algorithm(known, algorithm))]
    chosen: dict[str, DkimKey] = {}
    for key in ordered:
        chosen.setdefault(key.selector, key)
    return [key.line(name) for key in chosen.values() for name in names]


def _next(stem: str, taken: Sequence[str]) -> str:
    """Return the stem, with a number one higher than that of any selector made of it: no selector is used twice."""
    numbers = [int(each[1] or 1) for each in (re.fullmatch(rf"{re.escape(stem)}(\d*)", text) for text in taken) if each]
    return f"{stem}{max(numbers) + 1}" if numbers else stem


def _marked(key: DkimKey, sights: Sequence[Sight]) -> DkimKey | None:
    """Return a key with the names under which it is seen now, None if they are the same; a failure changes nothing."""
    mine = [sight for sight in sights if sight.key.id == key.id]
    kept = [sight.name for sight in mine if sight.found or (sight.failure and sight.name in key.seen)]
    return None if kept == key.seen else msgspec.structs.replace(key, seen=kept)


def _read(text: str) -> Pair:
    try:
        return proofs.read(text)
    except BadKey as error:
        raise Problem(Kind.MALFORMED, f"The key can't be used: {error}.", pointer="/privateKey") from error


def _public(text: str) -> str:
    try:
        return proofs.public(text)
    except BadKey as error:
        raise Problem(Kind.MALFORMED, f"The key can't be used: {error}.", pointer="/publicKey") from error
