"""Writes DKIM-Signature fields over a mail as it leaves: relaxed/relaxed, From signed once more than it stands there.

dkimpy sorts, folds and hashes the header; the body is hashed here, in pieces, so that a large one is never in memory.
"""

import base64
import hashlib
from collections.abc import Iterable

import dkim  # type: ignore[import-untyped]  # it has no types
import msgspec
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from dkim.canonicalization import CanonicalizationPolicy  # type: ignore[import-untyped]  # likewise

from gatepost.mailauth.body import digest, read, relaxed
from gatepost.mailauth.header import fields
from gatepost.mailauth.keys import PrivateKey
from gatepost.model.envelope import Body

FIELD = b"DKIM-Signature"
_POLICY = CanonicalizationPolicy.from_c_value(b"relaxed/relaxed")


class SigningFailed(Exception):
    """No signature could be made; the text says why."""


class Signer(msgspec.Struct, frozen=True):
    """A key with what its signatures say of it: the domain (d=) and the selector (s=)."""

    domain: str
    selector: str
    key: PrivateKey

    @property
    def algorithm(self) -> bytes:
        return b"rsa-sha256" if isinstance(self.key, RSAPrivateKey) else b"ed25519-sha256"

    def sign(self, digest: bytes) -> "_Signed":
        """Sign a SHA-256 digest: in C and in constant time, where dkimpy's own RSA is neither."""
        if isinstance(self.key, RSAPrivateKey):
            return _Signed(self.key.sign(digest, PKCS1v15(), Prehashed(SHA256())))
        return _Signed(self.key.sign(digest))  # RFC 8463 3


class _Signed(msgspec.Struct, frozen=True):
    """A signature in the form in which dkimpy takes those of its Ed25519 keys."""

    signature: bytes


class _Header(dkim.DKIM):  # type: ignore[misc]  # dkimpy has no types
    """dkimpy over a head alone: the body's hash is given."""

    def set_message(self, message: bytes) -> None:
        """Read a header section; blanks before a colon are no part of the name (RFC 6376 3.4.2)."""
        super().set_message(b"")
        self.headers = [(name.rstrip(), value) for name, value in fields(message)]

    def field(self, signer: Signer, body_hash: bytes, now: int) -> bytes:
        """Return the field that signs the header; `now` in epoch seconds."""
        # dkimpy has this branch hand the digest to the key; its branch for RSA would do the sum in Python.
        self.signature_algorithm = b"ed25519-sha256"
        self.hasher = hashlib.sha256
        names = tuple(name.lower() for name in self.default_sign_headers())
        if b"from" not in names:
            raise SigningFailed("the mail has no From")
        fields = [
            (b"v", b"1"),
            (b"a", signer.algorithm),
            (b"c", _POLICY.to_c_value()),
            (b"d", signer.domain.encode()),
            (b"s", signer.selector.encode()),
            (b"t", b"%d" % now),
            (b"h", b" : ".join(names)),
            (b"bh", base64.b64encode(body_hash)),
            (b"b", b"0" * 60),  # on a line of its own, so that folding moves nothing else
        ]
        value: bytes = self.gen_header(fields, names, _POLICY, FIELD, signer)
        return FIELD + b": " + value


def sign(head: bytes, body: Body, offset: int, signers: Iterable[Signer], now: int) -> bytes:
    """Return a signature field of each signer for `head` followed by what `body` holds from `offset` on (blocking).

    `now` in epoch seconds. Raises SigningFailed.
    """
    try:
        body_hash = digest(relaxed(read(body, offset))).digest
        return b"".join(_Header(head).field(signer, body_hash, now) for signer in signers)
    except (dkim.DKIMException, OSError, ValueError, TypeError, LookupError) as error:
        raise SigningFailed(repr(error)) from error
