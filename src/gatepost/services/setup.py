"""The first set-up of a store: one broker, one customer, one sysadmin with a password and a token."""

import secrets
from pathlib import Path

import msgspec
from argon2 import PasswordHasher

from gatepost.events import Clock, Metrics, wall_clock
from gatepost.model.access import Admin, Token
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All
from gatepost.model.tenant import Broker, Customer
from gatepost.services.access import digest
from gatepost.services.records import Name
from gatepost.settings import Settings
from gatepost.store.store import Store, Writer


class First(msgspec.Struct, frozen=True):
    """What `gatepost init` prints, this one time."""

    login: str
    password: str
    token: str


def init(settings: Settings, login: str = "admin") -> First:
    """Make a new store, and in it the first sysadmin; before a Gatepost runs on it. Nothing shows his secrets again.

    Raises StoreProblem for a directory that can't be used; Problem MALFORMED for a login that can't be one, CONFLICT
    where there is a sysadmin already.
    """
    try:
        msgspec.convert(login, Name)
    except msgspec.ValidationError as error:
        raise Problem(Kind.MALFORMED, f"The login {login!r} can't be one: {error}") from error
    directory = Path(settings.store.directory)
    store = Store.open(directory, clock=wall_clock, metrics=Metrics(), settings=settings.store)
    try:
        return set_up(store, wall_clock, login=login)
    finally:
        store.close_sync()


def set_up(store: Store, clock: Clock, *, login: str = "admin", hasher: PasswordHasher | None = None) -> First:
    """Make the first tenants and the first sysadmin, before the loop runs; raise CONFLICT on a store that has one."""
    first = First(login, secrets.token_urlsafe(18), secrets.token_hex(16))
    password_hash = (hasher or PasswordHasher()).hash(first.password)
    store.write_sync(lambda writer: _fill(writer, first, password_hash, clock()))
    return first


def _fill(writer: Writer, first: First, password_hash: str, now: int) -> None:
    if writer.first(Admin, All(())) is not None:
        raise Problem(Kind.CONFLICT, "The store is set up already.")
    if writer.first(Customer, All(())) is None:
        broker = writer.add(Broker(name="default", created_at=now))
        writer.add(Customer(broker_id=broker.id, name="default", created_at=now))
    admin = writer.add(Admin(login=first.login, password_hash=password_hash, sys_admin=True, created_at=now))
    writer.add(Token(admin_id=admin.id, name="init", digest=digest(first.token), created_at=now))
