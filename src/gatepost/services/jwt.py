"""Signed session tokens (RFC 7519): made at sign-in, read at each request; the algorithm and the key are fixed."""

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from gatepost.events import Clock

LIFE = 3600  # seconds, as in the contract's examples
SKEW = 60  # seconds that the clock that signed may be ahead
ALGORITHM = "HS512"
HEADER = "eyJhbGciOiJIUzUxMiJ9"  # {"alg":"HS512"}: the only one that is looked into (RFC 8725 3.1)


class Claims(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """What a session token says: the contract's members, then whose it is and with which password it was got.

    `authorities` are for the reader; rights are looked up at each use. Times in seconds.
    """

    version: int
    sub: str
    iat: int
    exp: int
    authorities: list[str]
    admin_id: int | None = None
    user_id: int | None = None
    mark: str


class Jwts:
    """Signs and reads session tokens with one key (64 octets)."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._key = OctKey.import_key(key)
        self._clock = clock

    def make(self, sub: str, authorities: list[str], mark: str, **owner: int) -> tuple[str, int]:
        """Return a signed token and when it lapses (epoch milliseconds)."""
        now = self._clock() // 1000
        claims = Claims(version=3, sub=sub, iat=now, exp=now + LIFE, authorities=authorities, mark=mark, **owner)
        token = jws.serialize_compact({"alg": ALGORITHM}, msgspec.json.encode(claims), self._key, [ALGORITHM])
        return token, claims.exp * 1000

    def read(self, token: str) -> Claims | None:
        """Return what a token says; None unless it was signed here (threat 106). Ask `holds` besides, at each use."""
        if not token.startswith(f"{HEADER}."):
            return None
        try:
            payload = jws.deserialize_compact(token, self._key, [ALGORITHM]).payload
            return msgspec.json.decode(payload, type=Claims)
        except (JoseError, ValueError, msgspec.MsgspecError):
            return None

    def holds(self, claims: Claims) -> bool:
        """Tell whether what a token says is true now."""
        now = self._clock() / 1000
        return claims.iat <= now + SKEW and now < claims.exp <= claims.iat + LIFE
