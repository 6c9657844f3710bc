"""The question for the sender rules that count now: of the owner's generation, and not expired."""

# ruff: noqa: S608 - names come from schema.py alone, values are bound

from typing import Any

from gatepost.store.schema import Table


def naming(known: Table[Any], owners: int, values: int) -> str:
    """Return the question for rules of so many owners that name one of so many values; the time is bound last."""
    named = f"r.owner IN ({', '.join('?' * owners)}) AND r.value IN ({', '.join('?' * values)})"
    return rules(known, named)


def rules(known: Table[Any], which: str) -> str:
    """Return the question for the rules that count now; after what `which` binds it binds the time."""
    fields = ", ".join(f'r."{name}"' for name in known.columns)
    current = (
        "CASE WHEN r.user_id IS NULL THEN (SELECT sender_generation FROM domain d WHERE d.id = r.domain_id)"
        " ELSE (SELECT sender_generation FROM user u WHERE u.id = r.user_id) END"
    )
    return (
        f"SELECT {fields} FROM sender_rule r WHERE {which} AND (r.expire_at IS NULL OR r.expire_at > ?)"
        f" AND r.generation = {current} ORDER BY r.id"
    )
