"""Signs in by AUTH PLAIN, AUTH LOGIN and AUTH SCRAM-SHA-256 (RFC 4954, 4616, 5802, 7677)."""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Protocol

from gatepost.model.envelope import Login
from gatepost.model.problem import Kind, Problem
from gatepost.services.scram import Exchange
from gatepost.smtp import replies
from gatepost.smtp.replies import Refusal

Ask = Callable[[bytes], Awaitable[bytes]]
"""Sends a challenge (base64) and returns the line that answers it."""

USER_NAME = base64.b64encode(b"Username:")  # many clients answer to these very words alone
PASSWORD = base64.b64encode(b"Password:")


class Access(Protocol):
    """Who signs in; services/signin answers.

    Each raises Problem(UNAUTHENTICATED), Problem(FORBIDDEN) for who may not send, or Problem(TOO_MANY).
    """

    async def sign_in(self, login: str, password: str, ip: str) -> Login:
        """Return whose login and password, or token, these are."""
        ...

    async def challenge(self, first: str, ip: str) -> Exchange:
        """Return what the client's first message of SCRAM begins; raise Problem(MALFORMED) for what is none."""
        ...

    def holds(self, login: Login) -> bool:
        """Tell whether who signed in could do so now."""
        ...

    def prove(self, exchange: Exchange, final: str, ip: str) -> tuple[Login, str]:
        """Return who the client's last message proves, and the server's proof; raise Problem(MALFORMED) as well."""
        ...


async def sign_in(mechanism: str, initial: str, ask: Ask, access: Access, ip: str) -> Login:
    """Return who signs in by one of MECHANISMS. Raises Refusal, and Problem as `access` does."""
    return await MECHANISMS[mechanism.upper()](initial, ask, access, ip)


async def _plain(initial: str, ask: Ask, access: Access, ip: str) -> Login:
    response = await _first(initial, b"", ask)
    identity, _, rest = response.partition("\0")
    login, nul, password = rest.partition("\0")
    if not nul or "\0" in password:
        raise Refusal(replies.AUTH_MALFORMED)
    if identity not in ("", login):  # nobody acts for another
        raise Refusal(replies.AUTH_WRONG)
    return await access.sign_in(login, password, ip)


async def _login(initial: str, ask: Ask, access: Access, ip: str) -> Login:
    login = await _first(initial, USER_NAME, ask)
    password = await _answer(PASSWORD, ask)
    if "\0" in login + password:
        raise Refusal(replies.AUTH_MALFORMED)
    return await access.sign_in(login, password, ip)


async def _scram(initial: str, ask: Ask, access: Access, ip: str) -> Login:
    first = await _first(initial, b"", ask)
    try:
        exchange = await access.challenge(first, ip)
        login, proof = access.prove(exchange, await _answer(_encode(exchange.challenge), ask), ip)
    except Problem as problem:
        raise Refusal(replies.AUTH_MALFORMED) if problem.kind is Kind.MALFORMED else problem from None
    if await _answer(_encode(proof), ask):  # a client that doubts the proof cancels
        raise Refusal(replies.AUTH_MALFORMED)
    return login


MECHANISMS = {"PLAIN": _plain, "LOGIN": _login, "SCRAM-SHA-256": _scram}


async def _first(initial: str, challenge: bytes, ask: Ask) -> str:
    """Return what the client says first: along with the command (RFC 4954 4), or when it is asked."""
    return _decode(initial.encode()) if initial else await _answer(challenge, ask)


async def _answer(challenge: bytes, ask: Ask) -> str:
    line = await ask(challenge)
    if line == b"*":
        raise Refusal(replies.AUTH_GIVEN_UP)
    return _decode(line)


def _encode(text: str) -> bytes:
    return base64.b64encode(text.encode())


def _decode(text: bytes) -> str:
    if text == b"=":  # RFC 4954 4: an empty response
        return ""
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise Refusal(replies.AUTH_MALFORMED) from None
