"""Passwords of one's own: changed by who knows the old one, set anew by who holds a link from his mailbox."""

import asyncio
from typing import Any

import msgspec

from gatepost.events import Clock, log
from gatepost.model.access import Caller, Purpose
from gatepost.model.problem import Kind, Problem
from gatepost.services.access import require_own
from gatepost.services.accounts import Account, is_local, named, owner
from gatepost.services.letters import RESET, Letters
from gatepost.services.passwords import Passwords
from gatepost.services.proof import Proof
from gatepost.services.records import unprocessable
from gatepost.services.scram import Verifiers
from gatepost.services.throttle import Throttle
from gatepost.services.tickets import Tickets
from gatepost.store.store import Store, Writer

ASKED = 10  # links that one address may ask for in a minute
PAUSE = 300_000  # milliseconds between two links to one account that strangers ask for


class PasswordChange(msgspec.Struct, kw_only=True):
    """The present password, and the one to come."""

    current: str
    password: str


class ResetWish(msgspec.Struct, kw_only=True):
    """Whose password is forgotten: a login or mail address."""

    login: str


class Reset(msgspec.Struct, kw_only=True):
    """The token of a link from a welcome or reset mail, and the password to come."""

    token: str
    password: str


class Recovery:
    """Changes passwords. Session tokens and tickets end with the password that they were got with."""

    def __init__(
        self, store: Store, passwords: Passwords, proof: Proof, tickets: Tickets, letters: Letters, clock: Clock
    ) -> None:
        self._store = store
        self._verifiers = Verifiers(store, passwords)
        self._proof = proof
        self._tickets = tickets
        self._letters = letters
        self._asked = Throttle(ASKED, 60_000, clock)
        self._mailed = Throttle(1, PAUSE, clock)
        self._sending: set[asyncio.Task[None]] = set()

    async def change(self, caller: Caller, given: PasswordChange) -> None:
        """Change the caller's own password; raise UNPROCESSABLE for a wrong present one, or one not kept here."""
        account = require_own(caller, owner(self._store.reader, caller.admin_id, caller.user_id))
        if not is_local(self._store.reader, account):
            raise unprocessable("The password of the account is kept elsewhere.", "/password")
        await self._proof.check(account, given.current, "/current")
        members = await self._verifiers.members(type(account), given.password)
        await self._store.write(lambda writer: _change(writer, account, members))

    def ask(self, wish: ResetWish, ip: str, base: str) -> None:
        """Mail a link to whom a login names, beside the request: neither answer nor time tells whether there is one.

        Raises TOO_MANY to an address that asks often. An account gets one in five minutes.
        """
        if wait := self._asked.wait(ip):
            raise Problem(Kind.TOO_MANY, "Too many links were asked for; try later.", retry_after=wait)
        self._asked.refuse(ip)
        task = asyncio.get_running_loop().create_task(self._mail(wish.login, base))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _mail(self, login: str, base: str) -> None:
        for account in named(self._store.reader, login):
            key = f"{type(account).__name__} {account.id}"
            if not account.email or not is_local(self._store.reader, account) or self._mailed.wait(key):
                continue
            self._mailed.refuse(key)
            try:
                await self._letters.send(RESET, account, base)
            except Problem as problem:
                log.warning("link not mailed", account=key, problem=problem.detail)

    async def reset(self, given: Reset, ip: str) -> None:
        """Set a password by a link, which is used up; raise NOT_FOUND for one that holds no longer."""
        ticket, account = self._tickets.find(given.token, Purpose.PASSWORD, ip)
        if not is_local(self._store.reader, account):
            raise unprocessable("The password of the account is kept elsewhere.", "/password")
        await self._tickets.use(ticket, **await self._verifiers.members(type(account), given.password))

    async def settle(self) -> None:
        """Wait until the mails under way are queued."""
        await asyncio.gather(*self._sending)


def _change(writer: Writer, account: Account, members: dict[str, Any]) -> None:
    """Write a password over the one that was shown; raise CONFLICT where it was changed meanwhile."""
    now = writer.get(type(account), account.id)
    if now is None or now.password_hash != account.password_hash:
        raise Problem(Kind.CONFLICT, "The password was changed meanwhile.")
    writer.change(type(account), account.id, **members)
