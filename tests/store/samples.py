"""Rows for the tests of the store: one of each struct, and mails with what hangs on them."""

from typing import Any

import msgspec
from msgspec import inspect

from gatepost.events import Clock, Metrics
from gatepost.model.envelope import Body
from gatepost.model.outgoing import Scheduled, Share, Upload
from gatepost.model.stored import Copy, Delivery, Message, TraceEvent
from gatepost.model.tenant import Domain, Language, User
from gatepost.settings import StoreSettings
from gatepost.store.store import Store, Writer

NOW = 1_800_000_000_000
DAY = 86_400_000


def settings(**changes: Any) -> StoreSettings:
    """Settings without a reserve, so that tests run on nearly full discs as well."""
    return StoreSettings(**{"reserve_bytes": 0, "reserve_percent": 0.0, **changes})


def still() -> int:
    return NOW


def open_store(directory: Any, *, clock: Clock = still, refused_bytes: int = 1_000_000, **changes: Any) -> Store:
    known = settings(**changes)
    return Store.open(directory, clock=clock, metrics=Metrics(), settings=known, refused_bytes=refused_bytes)


def full(kind: type[Any], number: int = 1) -> Any:
    """Return a struct with every member set, none to its default where that can be helped."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    values = {field.name: _value(field.type, field.name, number) for field in info.fields if field.name != "id"}
    return kind(id=mail_id(number), **values) if kind in (Message, Scheduled, Share, Upload) else kind(**values)


def _value(kind: inspect.Type, name: str, number: int) -> Any:
    match kind:
        case inspect.BoolType():
            return True
        case inspect.IntType():
            return number + 1000
        case inspect.FloatType():
            return number + 0.25
        case inspect.EnumType(cls=cls):
            return list(cls)[-1]
        case inspect.ListType(item_type=inside):
            return [_value(inside, name, number), _value(inside, name, number + 1)]
        case inspect.TupleType(item_types=each):
            return tuple(_value(inside, name, number) for inside in each)
        case inspect.DictType():
            return {name: number}
        case inspect.StructType(cls=cls):
            return full(cls, number)
        case inspect.UnionType(types=types):
            return _value(types[0], name, number)
        case _:
            return f"{name}-{number}-é"


def mail_id(number: int) -> str:
    return f"{number:032x}"


def message(number: int, **changes: Any) -> Message:
    row = Message(
        id=mail_id(number),
        received=NOW + number,
        size=5,
        direction="in",
        sender="ann@out.test",
        client_ip="192.0.2.1",
        helo="out.test",
        message_id=f"<{number}@out.test>",
        subject=f"Subject {number:04}",
        header_from="Ann <ann@out.test>",
        header_to="Bob <bob@in.test>",
        header_cc="",
        sent=NOW - number,
    )
    return msgspec.structs.replace(row, **changes)


def copy(number: int, **changes: Any) -> Copy:
    row = Copy(
        mail_id=mail_id(number),
        mailbox="bob@in.test",
        domain_id=1,
        user_id=None,
        folder="Quarantine",
        category="SPAM",
        score=6.5,
        infected=False,
        stored_at=NOW,
        expires_at=NOW + 31 * DAY,
    )
    return msgspec.structs.replace(row, **changes)


def delivery(number: int, **changes: Any) -> Delivery:
    row = Delivery(
        mail_id=mail_id(number),
        recipient="bob@in.test",
        sender="ann@out.test",
        domain_id=1,
        due=NOW,
        expires=NOW + 5 * DAY,
        created=NOW,
    )
    return msgspec.structs.replace(row, **changes)


def event(text: str = "", at: int = NOW) -> TraceEvent:
    return TraceEvent(at=at, event="received", text=text, data={"size": 5})


def keep(
    writer: Writer,
    number: int,
    *,
    copies: int = 0,
    deliveries: int = 1,
    body: Body | None = None,
    until: int = NOW + 30 * DAY,
    **changes: Any,
) -> Any:
    """Keep mail `number` with so many copies and deliveries."""
    body = body or Body(5, b"mail\n")
    row = message(number, size=body.size, spooled=body.path is not None, **changes)
    held = [copy(number, mailbox=f"bob{each}@in.test" if each else "bob@in.test") for each in range(copies)]
    return writer.keep(row, body, held, [delivery(number)] * deliveries, [event()], until)


def domain(name: str = "in.test", **changes: Any) -> Domain:
    row = Domain(customer_id=1, name=name, default_language=Language.EN, creation_date=NOW)
    return msgspec.structs.replace(row, **changes)


def user(email: str = "bob@in.test", domain_id: int = 1, **changes: Any) -> User:
    row = User(domain_id=domain_id, email=email, language=Language.EN, creation_date=NOW)
    return msgspec.structs.replace(row, **changes)
