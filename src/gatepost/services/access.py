"""Who is calling and what he may do: sign-in, tokens, and the one check that every act goes through."""

import asyncio
import hashlib
import hmac
import re
from typing import NoReturn, TypeVar

import msgspec

from gatepost.events import Clock, Metrics, log
from gatepost.model.access import PERMISSIONS, Admin, Caller, Token
from gatepost.model.address import BadAddress, parse_address
from gatepost.model.envelope import Login
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import All, Condition, eq
from gatepost.model.tenant import Domain, DomainStatus, User, UserStatus
from gatepost.services.passwords import Passwords
from gatepost.services.throttle import Throttle
from gatepost.settings import Settings
from gatepost.store.store import Reader, Store

S = TypeVar("S", Domain, User)

TOKEN = re.compile(r"[0-9a-f]{32}\Z")
USE_EVERY = 60_000  # milliseconds between two notes of a token's use (rules 17)
TEN_MINUTES = 600_000
UNPROVEN = "A valid bearer token is required."  # said whatever is wrong with the one given

OWN = frozenset(
    {"USERS_READ", "MAILS_READ", "MAIL_CONTENT", "MAIL_SEND", "QUARANTINE_RELEASE", "RULES_READ", "RULES_WRITE"}
)
"""What the owner of a mailbox may do with it."""


class Platform(msgspec.Struct, frozen=True):
    """The root of the tree: what belongs to no domain."""


PLATFORM = Platform()
Scope = Platform | Domain | User
"""The object that a right is asked for on."""


def require(caller: Caller, permission: str, scope: Scope | None = PLATFORM) -> None:
    """Raise FORBIDDEN unless the caller holds the permission on the scope.

    Ask before telling whether an object exists: None (no such object) needs the right on the whole platform, so that
    strangers learn nothing from the answer.
    """
    if not may(caller, permission, scope):
        raise Problem(Kind.FORBIDDEN, "This account may not do that.", permission=permission, login=caller.login)


def may(caller: Caller, permission: str, scope: Scope | None = PLATFORM) -> bool:
    """Tell whether the caller holds the permission on the scope."""
    assert permission in PERMISSIONS, permission
    if caller.sys_admin:
        return True
    return isinstance(scope, User) and scope.id == caller.user_id and permission in OWN


def found(caller: Caller, permission: str, scope: S | None, what: str) -> S:
    """Return the object once the caller proved his right on it; raise FORBIDDEN, then NOT_FOUND."""
    require(caller, permission, scope)
    if scope is None:
        raise Problem(Kind.NOT_FOUND, f"There is no such {what}.")
    return scope


def visible(caller: Caller, permission: str) -> Condition:
    """Return the condition that leaves in a list only what the caller may see; raise FORBIDDEN when that is nothing."""
    require(caller, permission)
    return All(())


def require_account(caller: Caller, *, admin_id: int) -> None:
    """Raise FORBIDDEN unless the caller is a sysadmin or that very administrator (contract A69)."""
    if not (caller.sys_admin or (caller.admin_id is not None and caller.admin_id == admin_id)):
        raise Problem(Kind.FORBIDDEN, "Tokens belong to their administrator.", login=caller.login)


def digest(token: str) -> str:
    """Return what is stored of a token's value."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class Access:
    """Finds out who is calling. Rights are read at each use, so that a withdrawn one acts at once."""

    def __init__(self, store: Store, settings: Settings, passwords: Passwords, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._passwords = passwords
        self._clock = clock
        self._metrics = metrics
        self._guesses = Throttle(settings.http.guesses_per_minute, 60_000, clock)
        self._sign_ins = Throttle(settings.limits.auth_failures_per_ip, TEN_MINUTES, clock)
        self._noted: dict[int, int] = {}
        self._notes: set[asyncio.Task[None]] = set()

    def require(self, caller: Caller, permission: str, scope: Scope | None = PLATFORM) -> None:
        """Raise FORBIDDEN unless the caller holds the permission on the scope."""
        require(caller, permission, scope)

    def may(self, caller: Caller, permission: str, scope: Scope | None = PLATFORM) -> bool:
        """Tell whether the caller holds the permission on the scope."""
        return may(caller, permission, scope)

    def domain(self, caller: Caller, domain_id: int, permission: str) -> Domain:
        """Return a domain on which the caller holds the permission; raise FORBIDDEN, then NOT_FOUND."""
        return found(caller, permission, self._store.reader.get(Domain, domain_id), "domain")

    def user(self, caller: Caller, user_id: int, permission: str) -> User:
        """Return an account on which the caller holds the permission; raise FORBIDDEN, then NOT_FOUND."""
        return found(caller, permission, self._store.reader.get(User, user_id), "user")

    async def caller(self, token: str, ip: str) -> Caller:
        """Return whose token it is; raise UNAUTHENTICATED (always in the same words), or TOO_MANY after many guesses.

        A true token is let in whatever others at its address did.
        """
        found = self._token(token)
        caller = found and self._account(found)
        if not (found and caller):
            self._refuse_guess(token, ip)
        self._note_use(found)
        return caller

    def _token(self, value: str) -> Token | None:
        wanted = digest(value)
        found = self._store.reader.first(Token, eq("digest", wanted))
        if found is None or not TOKEN.match(value) or not hmac.compare_digest(found.digest, wanted):
            return None
        expired = found.expiration is not None and found.expiration <= self._clock()
        return None if expired else found

    def _account(self, token: Token) -> Caller | None:
        reader = self._store.reader
        if token.admin_id is not None:
            admin = reader.get(Admin, token.admin_id)
            if admin is None or not admin.enabled:
                return None
            return Caller(admin_id=admin.id, login=admin.login, sys_admin=admin.sys_admin, token_id=token.id)
        user = reader.get(User, token.user_id or 0)
        if user is None or not _usable(reader, user):
            return None
        return Caller(user_id=user.id, login=user.email, token_id=token.id)

    def _refuse_guess(self, token: str, ip: str) -> NoReturn:
        if not token:  # nothing was guessed
            raise Problem(Kind.UNAUTHENTICATED, UNPROVEN)
        self._metrics.auth_failures.labels("http").inc()
        if wait := self._guesses.wait(ip):
            raise Problem(Kind.TOO_MANY, "Too many refused tokens; try later.", retry_after=wait)
        self._guesses.refuse(ip)
        raise Problem(Kind.UNAUTHENTICATED, UNPROVEN)

    async def sign_in(self, login: str, password: str, ip: str, *, door: str = "smtp") -> Login:
        """Return the mailbox user who gave his address and password (or a personal token in its place).

        Raises UNAUTHENTICATED, in equal time for known and unknown users; TOO_MANY before any check once the address
        was refused too often. No account is ever locked.
        """
        throttle = self._sign_ins if door == "smtp" else self._guesses
        if wait := throttle.wait(ip):
            raise Problem(Kind.TOO_MANY, "Too many refused sign-ins; try later.", retry_after=wait)
        user = self._user(login)
        if user and self._is_token_of(user, password):
            return Login(user.id, user.domain_id, user.email)
        if await self._passwords.verify(user.password_hash if user else None, password) and user:
            return Login(user.id, user.domain_id, user.email)
        throttle.refuse(ip)
        self._metrics.auth_failures.labels(door).inc()
        raise Problem(Kind.UNAUTHENTICATED, "The login or the password is wrong.")

    def _user(self, login: str) -> User | None:
        """Return the usable account of an address, which may stand under an alias of its domain."""
        try:
            address = parse_address(login)
        except BadAddress:
            return None
        reader = self._store.reader
        local = address.key.rpartition("@")[0]
        domain = reader.domain(address.domain)
        user = domain and reader.first(User, eq("email", f"{local}@{domain.name}"))
        return user if user and _usable(reader, user) else None

    def _is_token_of(self, user: User, value: str) -> bool:
        found = self._token(value)
        if found is None or found.user_id != user.id:
            return False
        self._note_use(found)
        return True

    def _note_use(self, token: Token) -> None:
        """Write down that a token was used, beside the request and at most once a minute."""
        now = self._clock()
        if now - max(token.last_use or 0, self._noted.get(token.id, 0)) < USE_EVERY:
            return
        self._noted[token.id] = now
        task = asyncio.get_running_loop().create_task(self._write_use(token.id, now))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _write_use(self, token_id: int, now: int) -> None:
        try:
            await self._store.write(lambda writer: writer.change(Token, token_id, last_use=now))
        except Problem as problem:
            log.warning("use of a token not noted", token=token_id, problem=problem.detail)

    async def settle(self) -> None:
        """Wait until the notes under way are written."""
        await asyncio.gather(*self._notes)


def _usable(reader: Reader, user: User) -> bool:
    domain = reader.get(Domain, user.domain_id)
    return user.status is UserStatus.ENABLED and domain is not None and domain.status is DomainStatus.ENABLED
