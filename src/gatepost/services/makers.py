"""Says who made the rules that a trace names, to those who may read the audit of where they stand."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gatepost.model.access import Caller
from gatepost.model.audit import ADD, Audit
from gatepost.model.query import Op, Query, Where, eq, every
from gatepost.model.stored import TraceEvent
from gatepost.model.tenant import Domain, User
from gatepost.services.access import PLATFORM, may
from gatepost.services.rules import LIST, REPLACE
from gatepost.store.store import Reader

KINDS = {"senders": "sender_rule", "attachments": "attachment_rule", "uris": "uri_rule"}
"""What the audit calls the rules that a filter goes by."""

LOOKED = 20  # acts of many at once that are looked at, the last ones


def with_makers(reader: Reader, caller: Caller, events: Sequence[TraceEvent]) -> tuple[TraceEvent, ...]:
    """Return the events with `maker` (login and time) beside each rule whose making the audit still knows."""
    return tuple(_told(reader, caller, event) for event in events)


def _told(reader: Reader, caller: Caller, event: TraceEvent) -> TraceEvent:
    kind, findings = KINDS.get(str(event.data.get("filter"))), event.data.get("findings")
    if kind is None or not isinstance(findings, list) or not any("rule" in each for each in findings):
        return event
    named = [{**each, **_maker(reader, caller, kind, each, event.at)} for each in findings]
    return msgspec.structs.replace(event, data={**event.data, "findings": named})


def _maker(reader: Reader, caller: Caller, kind: str, finding: Mapping[str, Any], at: int) -> dict[str, Any]:
    if "rule" not in finding:
        return {}
    rule = int(finding["rule"])
    made = reader.first(Audit, every(eq("object_id", str(rule)), eq("kind", kind), eq("act", ADD)))
    made = made or _of_many(reader, kind, str(finding.get("owner", "")), rule, at)
    if made is None or not may(caller, "AUDIT_READ", _where(reader, made)):
        return {}
    return {"maker": {"login": made.login, "at": made.at}}


def _of_many(reader: Reader, kind: str, owner: str, rule: int, at: int) -> Audit | None:
    """Return the act that made this rule with many others of its owner, added or in the place of a list, until then.

    Where two lists were replaced at the same time, so that either may have made it, nobody is named.
    """
    user = reader.first(User, eq("email", owner)) if "@" in owner else None
    domain = reader.get(Domain, user.domain_id) if user else reader.domain(owner)
    if domain is None:
        return None
    added = every(eq("object_id", ""), eq("kind", kind), eq("act", ADD), eq("domain_id", domain.id))
    replaced = every(
        eq("object_id", str((user or domain).id)), eq("kind", "user" if user else "domain"), eq("act", REPLACE)
    )
    until = Where("at", Op.LE, at)
    acts = [
        act
        for where in (added, replaced)
        for act in reader.find(Audit, Query(where=every(where, until), sort="-id", limit=LOOKED)).items
        if _covers(act, rule)
    ]
    return acts[0] if len(acts) == 1 else None


def _covers(act: Audit, rule: int) -> bool:
    told = act.after or {}
    told = told.get(LIST) or told
    return bool(told.get("first_id", rule + 1) <= rule <= told.get("last_id", 0))


def _where(reader: Reader, made: Audit) -> Any:
    domain = reader.get(Domain, made.domain_id) if made.domain_id else None
    return domain or PLATFORM
