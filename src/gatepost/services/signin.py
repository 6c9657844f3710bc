"""Sign-in by password: to a session token, to one request (HTTP Basic), to an SMTP session; and what slows guesses."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import msgspec

from gatepost.events import Clock, Metrics, log
from gatepost.model.access import Admin, Caller, Token
from gatepost.model.envelope import Login
from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import User
from gatepost.model.values import Millis
from gatepost.services.access import Access, lapsed, may, require
from gatepost.services.accounts import Account, has_totp, is_local, login_of, mark, named, owned, owner, proper_address
from gatepost.services.jwt import LIFE
from gatepost.services.passwords import Passwords
from gatepost.services.scram import Exchange, Verifier, Verifiers
from gatepost.services.throttle import Guesses, Throttle, network
from gatepost.services.totp import Totp
from gatepost.settings import Settings
from gatepost.store.store import Store, Writer

TEN_MINUTES = 600_000
CHALLENGE = 0.02  # seconds until a challenge is told, which its finding never takes: for known and unknown the same
WRONG = "The login or the password is wrong."  # said whichever it is, and when it is the code


class Credentials(msgspec.Struct, kw_only=True):
    """What is shown at sign-in: a login or mail address, the password, and the code of an account that has TOTP."""

    login: str
    password: str
    totp: str | None = None


class Session(msgspec.Struct, kw_only=True, rename="camel"):
    """A session token, which is sent as `Authorization: Bearer`, and when it lapses."""

    token: str
    expire_at: Millis


class SignIn:
    """Lets accounts in by what they know. No account is ever locked; addresses that guess have to wait."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        access: Access,
        passwords: Passwords,
        totp: Totp,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._access = access
        self._passwords = passwords
        self._verifiers = Verifiers(store, passwords)
        self._totp = totp
        self._clock = clock
        self._smtp = Guesses("smtp", Throttle(settings.limits.auth_failures_per_ip, TEN_MINUTES, clock), metrics)

    async def login(self, given: Credentials, ip: str) -> Session:
        """Return a session token (contract F1); raise UNAUTHENTICATED, TOO_MANY as in `basic`."""
        guesses = self._access.guesses
        guesses.check(ip)
        accounts = named(self._store.reader, given.login)
        account = await self._by_password(accounts, given.password, ip)
        passed = account is not None and await self._totp.passes(account, given.totp)
        guesses.check(ip)  # once more: who guesses many at once is told of no more than one after another
        if account is None or not passed:
            _refuse(guesses, ip, accounts)
        await self._store.write(partial(_note, account, self._clock()))
        token, lapses = self._session(account)
        return Session(token=token, expire_at=Millis(lapses))

    async def basic(self, login: str, password: str, ip: str) -> Caller:
        """Return who gave his login and password, or a personal token of his in its place.

        Raises UNAUTHENTICATED, in equal time for known and unknown accounts; TOO_MANY before any check once the address
        was refused too often. A password alone does not open an account that has a second factor, nor one whose
        password is kept elsewhere (rules 29).
        """
        accounts = named(self._store.reader, login)
        return (await self._prove(accounts, password, self._access.guesses, ip))[1]

    async def client(self, login: str, secret: str, ip: str) -> tuple[str, int]:
        """Return a bearer token for a program, and how many seconds it may use it; raise as `basic`.

        Who showed a personal token goes on with that one, which ends when it is taken back.
        """
        account, caller = await self._prove(named(self._store.reader, login), secret, self._access.guesses, ip)
        if caller.token_id is not None:
            return secret, LIFE
        await self._store.write(partial(_note, account, self._clock()))
        return self._session(account)[0], LIFE

    async def sign_in(self, login: str, password: str, ip: str) -> Login:
        """Return the mailbox user of an SMTP session; raise FORBIDDEN where he may not send; the rest as in `basic`."""
        users = [account for account in named(self._store.reader, login) if isinstance(account, User)]
        account, caller = await self._prove(users, password, self._smtp, ip)
        assert isinstance(account, User)
        return _sender(account, caller)

    async def challenge(self, first: str, ip: str) -> Exchange:
        """Begin the sign-in of an SMTP session by SCRAM; raise MALFORMED, TOO_MANY.

        Neither what the challenge is nor when it comes tells whether there is such an account.
        """
        self._smtp.check(ip)
        told = asyncio.create_task(asyncio.sleep(CHALLENGE))
        exchange = Exchange(first, self._verifier)
        await told
        return exchange

    def prove(self, exchange: Exchange, final: str, ip: str) -> tuple[Login, str]:
        """Return the mailbox user and the proof of this server, by which his program knows it; raise as `sign_in`."""
        self._smtp.check(ip)
        proof, user = exchange.prove(final), self._by_scram(exchange.login)
        if proof is None or user is None or self._verifier(exchange.login) != exchange.verifier:
            _refuse(self._smtp, ip, named(self._store.reader, exchange.login))
        return _sender(user, self._access.book.caller(user)), proof

    def holds(self, login: Login) -> bool:
        """Tell whether a sign-in still stands: neither account, its address, right, password nor token went since."""
        reader = self._store.reader
        user = owner(reader, None, login.user_id)
        if not isinstance(user, User) or user.email != login.email:
            return False
        if not may(self._access.book.caller(user), "MAIL_SEND", user):
            return False
        if login.token_id is None:
            return login.mark == mark(user) and not has_totp(user)
        token = reader.get(Token, login.token_id)
        return token is not None and token.user_id == user.id and not lapsed(token, self._clock())

    def _by_scram(self, login: str) -> User | None:
        """Return the mailbox user of a login, if he may sign in by his password alone and it is kept here."""
        accounts = (account for account in named(self._store.reader, login) if isinstance(account, User))
        return next((each for each in accounts if is_local(self._store.reader, each) and not has_totp(each)), None)

    def _verifier(self, login: str) -> Verifier:
        address = proper_address(self._store.reader, login) or login
        return self._verifiers.of(self._by_scram(login), address)

    def _session(self, account: Account) -> tuple[str, int]:
        return self._access.jwts.make(login_of(account), _authorities(account), mark(account), **owned(account))

    async def _prove(
        self, accounts: Sequence[Account], password: str, guesses: Guesses, ip: str
    ) -> tuple[Account, Caller]:
        guesses.check(ip)
        for account in accounts:
            if caller := self._access.by_token(password, account):
                return account, caller
        known = await self._by_password(accounts, password, ip)
        guesses.check(ip)  # as in `login`
        if known is None or has_totp(known):
            _refuse(guesses, ip, accounts)
        return known, self._access.book.caller(known)

    async def _by_password(self, accounts: Sequence[Account], password: str, ip: str) -> Account | None:
        """Return the account whose password it is; as slow for none as for one."""
        local = [account for account in accounts if is_local(self._store.reader, account)]
        by = network(ip)
        for account in local:
            if await self._passwords.verify(account.password_hash, password, by, fresh=has_totp(account)):
                await self._complete(account, password)
                return account
        if not local:
            await self._passwords.verify(None, password, by)
        return None

    async def _complete(self, account: Account, password: str) -> None:
        """Make what SCRAM verifies the password by, for an account of before there was that."""
        if not isinstance(account, User) or account.scram is not None or has_totp(account):
            return
        made = await self._verifiers.make(password, account.password_hash)

        def keep(writer: Writer) -> None:
            now = writer.get(User, account.id)
            if now is not None and now.password_hash == account.password_hash:  # not changed meanwhile
                writer.change(User, account.id, scram=made)

        try:
            await self._store.write(keep)
        except Problem as problem:  # he is who he is; the next time will do
            log.warning("no verifier kept", user=account.id, why=problem.detail)


def _note(account: Account, now: int, writer: Writer) -> None:
    writer.change(type(account), account.id, last_connection_date=now)
    writer.record("sign-in", account)


def _sender(user: User, caller: Caller) -> Login:
    """Return a mailbox user as who signed in on a session; raise FORBIDDEN where he may not send."""
    require(caller, "MAIL_SEND", user)
    return Login(user.id, user.domain_id, user.email, mark(user), caller.token_id)


def _refuse(guesses: Guesses, ip: str, accounts: Sequence[Account]) -> NoReturn:
    guesses.refuse(ip, login_of(accounts[0]) if accounts else "")
    raise Problem(Kind.UNAUTHENTICATED, WRONG)


def _authorities(account: Account) -> list[str]:
    """Return the role that a session token shows to its reader."""
    if isinstance(account, Admin):
        return ["SYSADMIN"] if account.sys_admin else ["ADMIN"]
    return ["USER"]
