"""Makes, reads and compares DKIM keys: PEM or DER in, what a record's p= holds out (RFC 6376 3.6.1, RFC 8463 4)."""

import base64
import binascii
import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key

from gatepost.model.dkim import Algorithm

BITS = 2048
BITS_LEAST, BITS_MOST = 1024, 4096  # what signers may use and verifiers must take (RFC 8301 3.2)
EXPONENT_BITS = 64  # of a stranger's key, as OpenSSL has it for long ones; the work grows with them
USUAL = 2048  # octets of a record that is remembered

_TAG = re.compile(rb"(?:\A|;)[ \t\r\n]*p[ \t\r\n]*=")

PrivateKey = RSAPrivateKey | Ed25519PrivateKey
PublicKey = RSAPublicKey | Ed25519PublicKey


class BadKey(ValueError):
    """The text is no key that can sign; it says why."""


class Pair(msgspec.Struct, frozen=True):
    """A private key as PEM (PKCS#8), and its public half as a record's p= holds it."""

    algorithm: Algorithm
    private: str
    public: str


def generate(algorithm: Algorithm) -> Pair:
    """Make a key; RSA takes a tenth of a second or more."""
    if algorithm is Algorithm.ED25519:
        return _pair(Ed25519PrivateKey.generate())
    return _pair(generate_private_key(public_exponent=65537, key_size=BITS))


def read(text: str) -> Pair:
    """Read a private key: PEM, or the base64 of its DER (PKCS#1 or PKCS#8); raise BadKey."""
    der = None if "-----BEGIN" in text else _decoded(text)
    try:
        if der is None:
            key = serialization.load_pem_private_key(text.strip().encode(), None)
        else:
            key = serialization.load_der_private_key(der, None)
    except TypeError as error:
        raise BadKey("the private key is encrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("this is no private key") from error
    if isinstance(key, RSAPrivateKey):
        _check_size(key.key_size)
    elif not isinstance(key, Ed25519PrivateKey):
        raise BadKey("only RSA and Ed25519 keys sign mail")
    return _pair(key)


def public(text: str) -> str:
    """Return a public key, PEM or as a record's p= holds it, in the form of p=; raise BadKey."""
    if "-----BEGIN" in text:
        try:
            key = serialization.load_pem_public_key(text.strip().encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadKey("this is no public key") from error
        if not isinstance(key, PublicKey):
            raise BadKey("only RSA and Ed25519 keys sign mail")
        return _shown(key)
    return base64.b64encode(_decoded(text)).decode()


def load(private: str) -> PrivateKey:
    """Return the key of a Pair's PEM, ready to sign; it was checked when it came in."""
    key = serialization.load_pem_private_key(private.encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, PrivateKey)
    return key


class Record(msgspec.Struct, frozen=True):
    """A key as a domain publishes it (RFC 6376 3.6.1). `hashes` empty: any; `strict`: i= must be d= itself (t=s)."""

    key: PublicKey
    hashes: frozenset[str] = frozenset()
    strict: bool = False
    testing: bool = False

    @property
    def bits(self) -> int:
        return self.key.key_size if isinstance(self.key, RSAPublicKey) else 256


def is_one(text: bytes) -> bool:
    """Tell whether a TXT record has a key's tag, as none of SPF has that may stand beside it (by a wildcard)."""
    return _TAG.search(text) is not None


def record(text: bytes) -> Record:
    """Read the TXT record of a selector; raise BadKey, whose text says why none can be had."""
    return (_usual_record if len(text) <= USUAL else _record)(text)


def _record(text: bytes) -> Record:
    tags = _tags(text.decode("ascii", "replace"))
    if tags.get("v", "DKIM1") != "DKIM1" or "p" not in tags:
        raise BadKey("the record is no DKIM key")
    if not tags["p"]:
        raise BadKey("the key is revoked")
    services = set(tags.get("s", "*").split(":"))
    if not services & {"*", "email"}:
        raise BadKey("the key is not for mail")
    flags = set(tags.get("t", "").split(":"))
    hashes = frozenset(filter(None, tags.get("h", "").split(":")))
    return Record(_loaded(tags.get("k", "rsa"), _decoded(tags["p"])), hashes, "s" in flags, "y" in flags)


_usual_record = lru_cache(maxsize=4096)(_record)


def _loaded(kind: str, octets: bytes) -> PublicKey:
    try:
        key = (
            Ed25519PublicKey.from_public_bytes(octets)
            if kind == "ed25519"
            else serialization.load_der_public_key(octets)
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadKey("the key can't be read") from error
    if not isinstance(key, RSAPublicKey if kind == "rsa" else Ed25519PublicKey):
        raise BadKey(f"the key is not of the kind {kind[:20]}")
    if isinstance(key, RSAPublicKey) and key.public_numbers().e.bit_length() > EXPONENT_BITS:
        raise BadKey("the key's exponent is too large")
    return key


def published(records: Sequence[bytes]) -> list[str]:
    """Return the p= of each DKIM record among TXT records, in its one form; one that can't be read is "?"."""
    found = []
    for record in records:
        tags = _tags(record.decode("ascii", "replace"))
        if "p" in tags and tags.get("v", "DKIM1") == "DKIM1":
            try:
                found.append(base64.b64encode(_decoded(tags["p"])).decode())
            except BadKey:
                found.append("?")
    return found


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip(): "".join(value.split()) for name, equals, value in pairs if equals}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadKey("this is no key: neither PEM nor base64") from error


def _check_size(bits: int) -> None:
    if not BITS_LEAST <= bits <= BITS_MOST:
        raise BadKey(f"an RSA key must have {BITS_LEAST} to {BITS_MOST} bits, this one has {bits}")


def _pair(key: PrivateKey) -> Pair:
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    algorithm = Algorithm.RSA if isinstance(key, RSAPrivateKey) else Algorithm.ED25519
    return Pair(algorithm, private, _shown(key.public_key()))


def _shown(key: PublicKey) -> str:
    if isinstance(key, Ed25519PublicKey):  # the bare key (RFC 8463 4.2)
        return base64.b64encode(key.public_bytes_raw()).decode()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_bytes(serialization.Encoding.PEM, form).decode()
    return re.sub(r"-----[^-]+-----|\s", "", pem)
