"""SCRAM-SHA-256 (RFC 5802, 7677): verifiers beside the passwords of mailbox users, the server's side of a sign-in."""

import asyncio
import hmac
import secrets
from collections.abc import Callable
from typing import Any

import msgspec
from scramp import ScramException, ScramMechanism  # type: ignore[import-untyped]
from scramp.utils import ServerError  # type: ignore[import-untyped]

from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import User
from gatepost.services.accounts import Account, mark_of
from gatepost.services.passwords import Passwords
from gatepost.store.store import Store

ITERATIONS = 20_000  # RFC 7677 4: 15,000 or more
SALT = 16  # octets
UNFIT = ""  # stands for the verifier of a password that SASLprep forbids (RFC 4013 2.3)

_MECHANISM = ScramMechanism("SCRAM-SHA-256")


class Verifier(msgspec.Struct, frozen=True):
    """What proves a password without telling it; `mark` is that of the password's hash, beside which it is kept."""

    salt: bytes
    stored_key: bytes
    server_key: bytes
    iterations: int
    mark: str = ""


class Verifiers:
    """Makes and reads them. They are kept sealed, since guessing at one costs less than at an argon2id hash."""

    def __init__(self, store: Store, passwords: Passwords) -> None:
        self._secrets = store.secrets
        self._passwords = passwords
        self._key = store.derived("scram")
        self._nobody = self._seal(self._false(""))

    async def members(self, kind: type[Account], password: str) -> dict[str, Any]:
        """Return what an account keeps of a password that is set; raise UNPROCESSABLE as `Passwords.hash`."""
        hashed = await self._passwords.hash(password)
        if kind is not User:  # administrators send no mail over SMTP
            return {"password_hash": hashed}
        return {"password_hash": hashed, "scram": await self.make(password, hashed)}

    async def make(self, password: str, hashed: str | None) -> str:
        """Return the sealed verifier of a password whose hash is kept beside it."""
        salt = secrets.token_bytes(SALT)
        try:
            _, stored, server, _ = await asyncio.to_thread(_MECHANISM.make_auth_info, password, ITERATIONS, salt)
        except ScramException:
            return UNFIT
        return self._seal(Verifier(salt, stored, server, ITERATIONS, mark_of(hashed)))

    def of(self, user: User | None, address: str) -> Verifier:
        """Return what the proof of an address is held against.

        Who has no account, or none that counts for the password as it stands, gets a false one: always the same for an
        address, no more told from a true one than the time that it takes, and passed by no password.
        """
        sealed = (user and user.scram) or self._nobody
        kept = msgspec.json.decode(self._secrets.unseal(sealed), type=Verifier)
        false = self._false(address)
        return kept if user is not None and kept.mark == mark_of(user.password_hash) else false

    def _false(self, address: str) -> Verifier:
        salt, stored, server = (hmac.digest(self._key, f"{part} {address}".encode(), "sha256") for part in range(3))
        return Verifier(salt[:SALT], stored, server, ITERATIONS)

    def _seal(self, verifier: Verifier) -> str:
        return self._secrets.seal(msgspec.json.encode(verifier).decode())


class Exchange:
    """The server's side of one sign-in: `challenge` answers the client's first message, `prove` its last."""

    def __init__(self, first: str, find: Callable[[str], Verifier]) -> None:
        """`find` returns the verifier of a login. Raise MALFORMED, also for channel binding, which is not offered."""
        self.login = ""
        self.verifier: Verifier
        self._find = find
        self._server = _MECHANISM.make_server(self._auth)
        flag, self._identity, bare = _begun(first)
        _heard(self._server.set_client_first, f"{flag},,{bare}" if self._identity else first)
        if self._identity:
            self._server.gs2_header = _Header(f"{flag},a={self._identity},".encode())
        self.challenge: str = self._server.get_server_first()

    def _auth(self, login: str) -> tuple[bytes, bytes, bytes, int]:
        self.login, found = login, self._find(login)
        self.verifier = found
        return found.salt, found.stored_key, found.server_key, found.iterations

    def prove(self, final: str) -> str | None:
        """Return the server's own proof, None where the client's is wrong, or acts for another; raise MALFORMED."""
        right = _heard(self._server.set_client_final, final) and _name(self._identity) in ("", self.login)
        return str(self._server.get_server_final()) if right else None


class _Header(bytes):
    """How a client began that named whom it acts for; scramp takes no such name, but looks whether it comes again."""

    def make_cbind_input(self, _binding: None) -> bytes:
        return self


def _begun(first: str) -> tuple[str, str, str]:
    """Return the flag, the name of whom the client acts for, "" where it names nobody, and the rest (RFC 5802 7)."""
    flag, _, rest = first.partition(",")
    identity, comma, bare = rest.partition(",")
    named = comma and identity.startswith("a=")
    return flag, identity.removeprefix("a=") if named else "", bare


def _name(text: str) -> str:
    """Undo what keeps a name from holding commas (RFC 5802 5.1)."""
    return text.replace("=2C", ",").replace("=3D", "=")


def _heard(hear: Callable[[str], None], message: str) -> bool:
    """Take a message of the client; return False for a wrong proof."""
    try:
        hear(message)
    except ScramException as error:
        if error.server_error is ServerError.INVALID_PROOF:
            return False
        if error.server_error is ServerError.NO_RESOURCES and error.__cause__ is not None:  # our own look-up failed
            raise error.__cause__ from None
        raise Problem(Kind.MALFORMED, "The message is none of SCRAM-SHA-256 without channel binding.") from error
    return True
