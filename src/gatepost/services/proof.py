"""A signed-in account shows its password once more, before what is most its own is changed."""

from gatepost.events import Clock
from gatepost.model.problem import Kind, Problem
from gatepost.services.accounts import Account
from gatepost.services.passwords import Passwords
from gatepost.services.records import unprocessable
from gatepost.services.throttle import Throttle

WRONG_ONES = 10  # in ten minutes; only who is signed in already can spend them


class Proof:
    """Checks the password of accounts that are signed in; a stolen session can't guess it."""

    def __init__(self, passwords: Passwords, clock: Clock) -> None:
        self._passwords = passwords
        self._wrong = Throttle(WRONG_ONES, 600_000, clock)

    async def check(self, account: Account, password: str, pointer: str = "/password") -> None:
        """Raise UNPROCESSABLE for a wrong password, TOO_MANY after many of them."""
        key = f"{type(account).__name__} {account.id}"
        self._open(key)
        right = await self._passwords.verify(account.password_hash, password, key)
        self._open(key)  # once more: others that were tried at the same time may have been wrong
        if not right:
            self._wrong.refuse(key)
            raise unprocessable("This is not the password of the account.", pointer)

    def _open(self, key: str) -> None:
        if wait := self._wrong.wait(key):
            raise Problem(Kind.TOO_MANY, "Too many wrong passwords; try later.", retry_after=wait)
