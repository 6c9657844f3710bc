"""The second factor (TOTP, RFC 6238): enrolled by its owner, confirmed by a first code, each code taken once."""

import hmac
from typing import Any

import msgspec
import pyotp
import segno

from gatepost.events import Clock
from gatepost.model.access import Admin, Caller
from gatepost.model.problem import Kind, Problem
from gatepost.services.access import require_own
from gatepost.services.accounts import Account, has_totp, login_of, owner
from gatepost.services.proof import Proof
from gatepost.services.records import unprocessable
from gatepost.services.throttle import Throttle
from gatepost.store.store import Store, Writer

STEP = 30  # seconds that a code stands
DRIFT = 1  # steps that the two clocks may differ
ISSUER = "Gatepost"


class Enrolment(msgspec.Struct, kw_only=True):
    """Who enrols shows his password once more."""

    password: str


class Enrolled(msgspec.Struct, kw_only=True):
    """What an authenticator needs, in three forms; shown this one time. `qr` is an SVG document of `uri`."""

    secret: str
    uri: str
    qr: str


class Code(msgspec.Struct, kw_only=True):
    """The six digits that an authenticator shows."""

    code: str


class Totp:
    """The second factors of all accounts. Secrets are sealed; switching off is an administrator's change."""

    def __init__(self, store: Store, proof: Proof, clock: Clock) -> None:
        self._store = store
        self._proof = proof
        self._clock = clock
        self._wrong = Throttle(10, 600_000, clock)

    async def enrol(self, caller: Caller, given: Enrolment) -> Enrolled:
        """Return a new secret, which counts once it is confirmed.

        Raises CONFLICT where one counts already, UNPROCESSABLE for a wrong password.
        """
        account = self._own(caller)
        await self._proof.check(account, given.password)
        secret = pyotp.random_base32()
        sealed = self._store.secrets.seal(secret)

        def enrol(writer: Writer) -> None:
            writer.change(type(account), account.id, totp_secret=sealed)
            writer.record("enrol-totp", account)

        await self._store.write(enrol)
        uri = pyotp.TOTP(secret).provisioning_uri(name=login_of(account), issuer_name=ISSUER)
        return Enrolled(secret=secret, uri=uri, qr=segno.make(uri).svg_inline(scale=4))

    async def confirm(self, caller: Caller, given: Code) -> None:
        """Switch the second factor on; raise UNPROCESSABLE unless the code is one of the secret that was enrolled."""
        account = self._own(caller)
        on: dict[str, Any] = {"totp": True} if isinstance(account, Admin) else {"mfa_type": "TOTP"}
        if not await self._take(account, given.code, **on):
            raise unprocessable("The code is wrong; was a secret enrolled, and is the clock right?", "/code")

    async def passes(self, account: Account, code: str | None) -> bool:
        """Tell whether the account may sign in with that code; one without a second factor needs none.

        Raises TOO_MANY after many wrong codes for one account: who sends them knows its password.
        """
        return not has_totp(account) or await self._take(account, code or "")

    def _own(self, caller: Caller) -> Account:
        account = require_own(caller, owner(self._store.reader, caller.admin_id, caller.user_id))
        if has_totp(account):
            raise Problem(Kind.CONFLICT, "The account has a second factor; an administrator can switch it off.")
        return account

    async def _take(self, account: Account, code: str, **more: Any) -> bool:
        """Use a code up; False for one that is wrong or was used."""
        key = f"{type(account).__name__} {account.id}"
        if wait := self._wrong.wait(key):
            raise Problem(Kind.TOO_MANY, "Too many refused sign-ins; try later.", retry_after=wait)
        step = self._step_of(account.totp_secret, code)
        taken = step is not None and await self._store.write(lambda writer: _spend(writer, account, step, more))
        if not taken:
            self._wrong.refuse(key)
        return taken

    def _step_of(self, sealed: str | None, code: str) -> int | None:
        """Return the time step that a code belongs to."""
        if sealed is None:
            return None
        totp = pyotp.TOTP(self._store.secrets.unseal(sealed))
        now = self._clock() // 1000 // STEP
        given = code.encode("utf-8", "surrogatepass")
        steps = [step for step in range(now - DRIFT, now + DRIFT + 1) if hmac.compare_digest(_at(totp, step), given)]
        return steps[-1] if steps else None


def _at(totp: pyotp.TOTP, step: int) -> bytes:
    return totp.generate_otp(step).encode()


def _spend(writer: Writer, account: Account, step: int, more: dict[str, Any]) -> bool:
    """Note the step of a code; False where that one, or a later one, was taken already or the secret is another."""
    now = writer.get(type(account), account.id)
    if now is None or now.totp_secret != account.totp_secret or now.totp_step >= step:
        return False
    writer.change(type(account), account.id, totp_step=step, **more)
    return True
