"""Policies of a domain: made with defaults that fit their services, changed in part, deleted when nobody uses them."""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from gatepost.model.access import Caller
from gatepost.model.policy import ArchiveProps, Policy, QuarantineProps, RelayProps, RetentionProps, relay_defaults
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Page, Query, eq, every
from gatepost.model.tenant import Domain, User
from gatepost.model.values import Id
from gatepost.services.access import found, require
from gatepost.services.records import Line, Name, given, merged, show, unprocessable
from gatepost.store.store import Reader, Store, Writer

Days = Annotated[int, Meta(ge=1, le=36_500)]
Months = Annotated[int, Meta(ge=1, le=1_200)]
Megabytes = Annotated[int, Meta(ge=1, le=100_000)]
Score = Annotated[float, Meta(ge=-10_000, le=10_000)]
Props = TypeVar("Props", QuarantineProps, RetentionProps, ArchiveProps)


class RelayPart(msgspec.Struct, kw_only=True, rename="camel"):
    """Delivery settings; what is left out keeps its value or default."""

    relay_spam: bool | None = None
    relay_advert: bool | None = None
    advert_prefix: Line | None = None
    prefix_spam: Line | None = None
    relay_bad_headers: bool | None = None
    relay_bad_attachments: bool | None = None
    spam_score_limit: Score | None = None


class QuarantinePart(msgspec.Struct, kw_only=True, rename="camel"):
    """Quarantine settings; `duration` in days."""

    duration: Days | None = None
    store_spam: bool | None = None
    store_virus: bool | None = None
    store_advert: bool | None = None
    store_blacklisted: bool | None = None
    store_sender_verify: bool | None = None
    store_bad_headers: bool | None = None
    store_bad_encoding: bool | None = None
    store_bad_attachments: bool | None = None


class RetentionPart(msgspec.Struct, kw_only=True, rename="camel"):
    """Retention settings; `duration` in days."""

    duration: Days | None = None
    store_mail_out: bool | None = None
    store_clean_mail_in: bool | None = None


class ArchivePart(msgspec.Struct, kw_only=True, rename="camel"):
    """Archive settings; `duration` in months. archiveByCopy is stored and has no effect yet."""

    duration: Months | None = None
    archive_by_copy: bool | None = None
    store_mail_out: bool | None = None
    store_clean_mail_in: bool | None = None
    store_spam: bool | None = None
    store_bad_headers: bool | None = None
    store_bad_encoding: bool | None = None
    store_bad_attachments: bool | None = None
    store_advert: bool | None = None
    store_blacklisted: bool | None = None
    store_sender_verify: bool | None = None


class PolicyPatch(msgspec.Struct, kw_only=True, rename="camel"):
    """Any subset of a policy. `id` is ignored; `domainId` can't be changed."""

    name: Name | None = None
    domain_id: Id | None = None
    quarantine: bool | None = None
    retention: bool | None = None
    archive: bool | None = None
    mail_size_limit: Megabytes | None = None
    spam_score: Score | None = None
    incoming: bool | None = None
    relay_props: RelayPart | None = None
    quarantine_props: QuarantinePart | None = None
    retention_props: RetentionPart | None = None
    archive_props: ArchivePart | None = None
    outgoing: bool | None = None


class PolicyAdd(PolicyPatch, kw_only=True, rename="camel"):
    """A new policy; what is left out gets the default of its services."""

    name: Name
    quarantine: bool
    retention: bool
    incoming: bool


class PolicyView(msgspec.Struct, kw_only=True, rename="camel"):
    """A policy; the props of a service are null while it is off."""

    id: Id
    name: str
    domain_id: Id
    quarantine: bool
    retention: bool
    archive: bool
    mail_size_limit: int
    spam_score: float
    incoming: bool
    relay_props: RelayProps
    quarantine_props: QuarantineProps | None
    retention_props: RetentionProps | None
    archive_props: ArchiveProps | None
    outgoing: bool


class Policies:
    """The policies of domains."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, caller: Caller, domain_id: int, query: Query) -> Page[PolicyView]:
        """Return a page of a domain's policies."""

        def ask(reader: Reader) -> Page[Policy]:
            found(caller, "POLICIES_READ", reader.get(Domain, domain_id), "domain")
            where = every(eq("domain_id", domain_id), query.where)
            return reader.find(Policy, msgspec.structs.replace(query, where=where))

        page = await self._store.read(ask)
        return Page([show(PolicyView, policy) for policy in page.items], page.total)

    async def get(self, caller: Caller, policy_id: int) -> PolicyView:
        """Return a policy."""
        return show(PolicyView, _policy(self._store.reader, caller, "POLICIES_READ", policy_id))

    async def create(self, caller: Caller, domain_id: int, draft: PolicyAdd) -> PolicyView:
        """Make a policy; raise CONFLICT when the domain has one of that name."""

        def add(writer: Writer) -> Policy:
            domain = found(caller, "POLICIES_WRITE", writer.get(Domain, domain_id), "domain")
            _stay(draft, domain.id)
            _free_name(writer, domain.id, draft.name)
            return writer.add(new_policy(domain.id, draft))

        return show(PolicyView, await self._store.write(add))

    async def update(self, caller: Caller, policy_id: int, change: PolicyPatch) -> None:
        """Change what is given; raise CONFLICT when the new name is taken."""

        def alter(writer: Writer) -> None:
            policy = _policy(writer, caller, "POLICIES_WRITE", policy_id)
            _stay(change, policy.domain_id)
            if change.name is not None:
                _free_name(writer, policy.domain_id, change.name, but=policy.id)
            save(writer, changed(policy, change))

        await self._store.write(alter)

    async def delete(self, caller: Caller, policy_id: int) -> None:
        """Delete a policy; raise MALFORMED (400, semantics 6) while a domain or a user has it."""

        def remove(writer: Writer) -> None:
            policy = _policy(writer, caller, "POLICIES_WRITE", policy_id)
            used = writer.first(Domain, eq("policy_id", policy.id)) or writer.first(User, eq("policy_id", policy.id))
            if used is not None:
                raise Problem(Kind.MALFORMED, "The policy is still used by a domain or a user.")
            writer.remove(Policy, eq("id", policy.id))

        await self._store.write(remove)


def _policy(reader: Reader, caller: Caller, permission: str, policy_id: int) -> Policy:
    policy = reader.get(Policy, policy_id)
    require(caller, permission, reader.get(Domain, policy.domain_id) if policy else None)
    if policy is None:
        raise Problem(Kind.NOT_FOUND, "There is no such policy.")
    return policy


def _stay(part: PolicyPatch, domain_id: int) -> None:
    if part.domain_id is not None and part.domain_id != domain_id:
        raise unprocessable("A policy stays in its domain.", "/domainId")


def _free_name(reader: Reader, domain_id: int, name: str, but: int = 0) -> None:
    same = reader.first(Policy, every(eq("domain_id", domain_id), eq("name", name)))
    if same is not None and same.id != but:
        raise Problem(Kind.CONFLICT, "The domain has a policy of that name.", pointer="/name")


def save(writer: Writer, policy: Policy) -> None:
    """Write every member of a policy."""
    fields = msgspec.structs.asdict(policy)
    del fields["id"]
    writer.change(Policy, policy.id, **fields)


def new_policy(domain_id: int, draft: PolicyAdd) -> Policy:
    """Return a policy with the defaults of semantics 4 under what the draft gives."""
    stores = draft.quarantine or draft.retention or bool(draft.archive)
    bare = Policy(
        name=draft.name,
        domain_id=domain_id,
        quarantine=False,
        retention=False,
        relay_props=relay_defaults(stores=stores),
    )
    return changed(bare, draft)


def changed(policy: Policy, change: PolicyPatch) -> Policy:
    """Return the policy with what the change gives laid over it; raise UNPROCESSABLE where that makes no sense."""
    flat = given(change, "name", "quarantine", "retention", "archive", "mail_size_limit", "spam_score")
    flat |= given(change, "incoming", "outgoing")
    new: dict[str, Any] = msgspec.structs.asdict(msgspec.structs.replace(policy, **flat))
    new["relay_props"] = _relay(policy, new["spam_score"], change.relay_props)
    new["quarantine_props"] = _props(
        QuarantineProps, new["quarantine"], policy.quarantine_props, change.quarantine_props
    )
    new["retention_props"] = _props(RetentionProps, new["retention"], policy.retention_props, change.retention_props)
    new["archive_props"] = _props(ArchiveProps, new["archive"], policy.archive_props, change.archive_props)
    return Policy(**new)


def _props(kind: type[Props], on: bool, old: Props | None, part: msgspec.Struct | None) -> Props | None:
    """Return a service's settings; None while it is off."""
    return merged(old or kind(), part) if on else None


def _relay(policy: Policy, spam_score: float, part: RelayPart | None) -> RelayProps:
    """Return the delivery settings; a limit that was not asked for is raised to the score that makes a mail spam."""
    relay = merged(policy.relay_props, part)
    if relay.spam_score_limit >= spam_score:
        return relay
    if part is not None and part.spam_score_limit is not None:
        raise unprocessable("spamScoreLimit lies below spamScore.", "/relayProps/spamScoreLimit")
    return msgspec.structs.replace(relay, spam_score_limit=spam_score)
