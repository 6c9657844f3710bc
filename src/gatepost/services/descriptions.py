"""Says what the symbols of a trace mean, by the tables in force now; nothing of that is kept with the mails."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gatepost.filters.registry import descriptions
from gatepost.model.stored import TraceEvent
from gatepost.settings import Filters


class Descriptions:
    """The line that stands beside each symbol in the shipped table, or in the administrator's own laid over it."""

    def __init__(self, settings: Filters) -> None:
        self._known = descriptions(settings)

    def beside(self, events: Sequence[TraceEvent]) -> tuple[TraceEvent, ...]:
        """Return the events with a `description` in each finding whose symbol, or what it sums up, is in a table."""
        return tuple(self._told(event) for event in events)

    def _told(self, event: TraceEvent) -> TraceEvent:
        known, findings = self._known.get(str(event.data.get("filter"))), event.data.get("findings")
        if not known or not isinstance(findings, list):
            return event
        told = [{**each, **_description(known, each)} for each in findings]
        return msgspec.structs.replace(event, data={**event.data, "findings": told})


def _description(known: Mapping[str, str], finding: Mapping[str, Any]) -> dict[str, str]:
    symbols = [finding.get("symbol", ""), *str(finding.get("seen", "")).split(", ")]
    said = "; ".join(known[symbol] for symbol in symbols if symbol in known)
    return {"description": said} if said else {}
