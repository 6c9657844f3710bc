"""Outgoing providers: mail services whose networks many share, so that a mail says besides whose it is (rules 10)."""

import hmac
from collections.abc import Iterable, Sequence

from gatepost.dns import Resolver, side_by_side
from gatepost.mailauth.spf import Checks
from gatepost.message.anatomy import Anatomy
from gatepost.message.authors import authors
from gatepost.message.edit import CONNECTOR
from gatepost.message.hosts import registered
from gatepost.model.auth import AuthResults, Result
from gatepost.model.options import CONNECTOR_SECRET, OptionValue, Scope
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Query, eq, every
from gatepost.model.tenant import Provider
from gatepost.store.remembered import Remembered
from gatepost.store.secrets import Unsealable
from gatepost.store.store import Store


class Providers:
    """Knows the providers' networks by their SPF records, and what else shows for whom a provider sends."""

    def __init__(self, store: Store, resolver: Resolver) -> None:
        self._store = store
        self._records = Checks(resolver)
        memory = Remembered(store)
        self._known = memory.known
        self._active: dict[str, list[Provider]] = memory.cache()
        self._secrets: dict[int, str] = memory.cache()

    async def behind(self, ip: str, ids: Iterable[int] | None) -> tuple[Provider, ...]:
        """Return the active providers, of those with such `ids` or of all, that a client's address belongs to.

        Raises Problem(UNAVAILABLE) where none is known to, and DNS can't say now of each.
        """
        active = self._known(self._active, "", self._read)
        asked = active if ids is None else [each for each in active if each.id in ids]
        found = await side_by_side([self._records.check(ip, each.spf_provider, each.spf_provider) for each in asked])
        behind = tuple(each for each, spf in zip(asked, found, strict=True) if spf.result is Result.PASS)
        unsure = [each for each, spf in zip(asked, found, strict=True) if spf.result is Result.TEMPERROR]
        if unsure and not behind:
            raise Problem(Kind.UNAVAILABLE, f"the network of {unsure[0].spf_provider} can't be looked up now")
        return behind

    def proof(self, domain_id: int, auth: AuthResults | None, anatomy: Anatomy | None) -> Result:
        """Say whether a mail out of a provider's network is a domain's: PASS, FAIL, or TEMPERROR for not now.

        It is by a DKIM signature that is aligned with each author, or by the domain's secret in X-Gatepost-Connector.
        `anatomy` None: the mail could not be opened, which may be our own trouble.
        """
        if anatomy is None:
            return Result.TEMPERROR
        if self._connected(domain_id, anatomy.values(CONNECTOR)):
            return Result.PASS
        written = [each.domain for each in authors(anatomy)]
        held = [each.domain for each in auth.signatures if each.result is Result.PASS] if auth else []
        if written and all(_aligned(name, held) for name in written):
            return Result.PASS
        return Result.TEMPERROR if auth and auth.unsure else Result.FAIL

    def _connected(self, domain_id: int, said: Sequence[bytes]) -> bool:
        if not said:
            return False
        secret = self._known(self._secrets, domain_id, lambda: self._secret(domain_id))
        return bool(secret) and any(hmac.compare_digest(each.strip(), secret.encode()) for each in said)

    def _secret(self, domain_id: int) -> str:
        here = every(eq("scope", Scope.DOMAIN), eq("owner_id", domain_id), eq("name", CONNECTOR_SECRET))
        found = self._store.reader.first(OptionValue, here)
        try:
            return self._store.secrets.unseal(found.value) if found else ""
        except Unsealable as error:
            raise Problem(Kind.UNAVAILABLE, "the connector's secret was sealed with another key") from error

    def _read(self) -> list[Provider]:
        return list(self._store.reader.find(Provider, Query(where=eq("active", True))).items)


def _aligned(author: str, signers: Iterable[str]) -> bool:
    """Tell whether a signature speaks for an author's domain: one of its own, or of a domain above it (RFC 9989)."""
    return any(
        f".{author}".endswith(f".{each.lower()}") and registered(each.lower()) == registered(author) for each in signers
    )
