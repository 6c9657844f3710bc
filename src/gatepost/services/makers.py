"""Says who made the rules that a trace names, to those who may read the audit of where they stand."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gatepost.model.access import Caller
from gatepost.model.audit import ADD, Audit
from gatepost.model.query import eq, every
from gatepost.model.stored import TraceEvent
from gatepost.model.tenant import Domain
from gatepost.services.access import PLATFORM, may
from gatepost.store.store import Reader

KINDS = {"senders": "sender_rule", "attachments": "attachment_rule", "uris": "uri_rule"}
"""What the audit calls the rules that a filter goes by."""


def with_makers(reader: Reader, caller: Caller, events: Sequence[TraceEvent]) -> tuple[TraceEvent, ...]:
    """Return the events with `maker` (login and time) beside each rule whose making the audit still knows."""
    return tuple(_told(reader, caller, event) for event in events)


def _told(reader: Reader, caller: Caller, event: TraceEvent) -> TraceEvent:
    kind, findings = KINDS.get(str(event.data.get("filter"))), event.data.get("findings")
    if kind is None or not isinstance(findings, list) or not any("rule" in each for each in findings):
        return event
    named = [{**each, **_maker(reader, caller, kind, each)} for each in findings]
    return msgspec.structs.replace(event, data={**event.data, "findings": named})


def _maker(reader: Reader, caller: Caller, kind: str, finding: Mapping[str, Any]) -> dict[str, Any]:
    if "rule" not in finding:
        return {}
    made = reader.first(Audit, every(eq("object_id", str(finding["rule"])), eq("kind", kind), eq("act", ADD)))
    if made is None or not may(caller, "AUDIT_READ", _where(reader, made)):
        return {}
    return {"maker": {"login": made.login, "at": made.at}}


def _where(reader: Reader, made: Audit) -> Any:
    domain = reader.get(Domain, made.domain_id) if made.domain_id else None
    return domain or PLATFORM
