"""Reads credentials from AUTH PLAIN and AUTH LOGIN (RFC 4954, 4616)."""

import base64
import binascii
from collections.abc import Awaitable, Callable

from gatepost.smtp import replies
from gatepost.smtp.replies import Refusal

Ask = Callable[[bytes], Awaitable[bytes]]
"""Sends a challenge (base64) and returns the line that answers it."""

USER_NAME = base64.b64encode(b"User Name\0")
PASSWORD = base64.b64encode(b"Password\0")


async def credentials(mechanism: str, initial: str, ask: Ask) -> tuple[str, str]:
    """Return login and password. Raises Refusal."""
    read = MECHANISMS.get(mechanism.upper())
    if read is None:
        raise Refusal(replies.AUTH_UNKNOWN)
    return await read(initial, ask)


async def _plain(initial: str, ask: Ask) -> tuple[str, str]:
    response = _decode(initial.encode()) if initial else await _answer(b"", ask)
    identity, _, rest = response.partition("\0")
    login, nul, password = rest.partition("\0")
    if not nul or "\0" in password:
        raise Refusal(replies.AUTH_MALFORMED)
    if identity not in ("", login):  # nobody acts for another
        raise Refusal(replies.AUTH_WRONG)
    return login, password


async def _login(initial: str, ask: Ask) -> tuple[str, str]:
    login = _decode(initial.encode()) if initial else await _answer(USER_NAME, ask)
    password = await _answer(PASSWORD, ask)
    if "\0" in login + password:
        raise Refusal(replies.AUTH_MALFORMED)
    return login, password


MECHANISMS = {"PLAIN": _plain, "LOGIN": _login}


async def _answer(challenge: bytes, ask: Ask) -> str:
    line = await ask(challenge)
    if line == b"*":
        raise Refusal(replies.AUTH_GIVEN_UP)
    return _decode(line)


def _decode(text: bytes) -> str:
    if text == b"=":  # RFC 4954 4: an empty response
        return ""
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise Refusal(replies.AUTH_MALFORMED) from None
