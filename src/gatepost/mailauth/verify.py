"""Checks a signed header: what dkimpy does for DKIM and ARC, with keys fetched before, bodies hashed once, RSA in C."""

import base64
import contextlib
import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import dkim  # type: ignore[import-untyped]  # it has no types
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from gatepost.dns import DnsFailure
from gatepost.mailauth import body as bodies
from gatepost.mailauth.header import Field, canonical, fields, select
from gatepost.mailauth.keys import BITS_LEAST, BITS_MOST, BadKey, Record, record
from gatepost.model.auth import Result
from gatepost.model.envelope import Body

ALGORITHMS = {b"rsa-sha256": "rsa", b"ed25519-sha256": "ed25519"}
LENGTH_DIGITS = 76  # RFC 6376 3.5
FORMS = {b"relaxed": bodies.relaxed, b"simple": bodies.simple}

logging.getLogger("dkimpy").disabled = True  # else each bad chain of a stranger's is an error in the log

Answer = bytes | Exception
"""A TXT record, or why there is none: Missing or DnsFailure."""


class Fault(Exception):
    """A signature that does not hold; the text says why."""

    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


class Text(msgspec.Struct, frozen=True):
    """What is signed: the header section, and the body that begins at `offset`. Reading it may block."""

    head: bytes
    body: Body
    offset: int


class Checker:
    """Hashes of one mail's body by form and length; the keys of its signatures by the names where they stand."""

    def __init__(self, text: Text, answers: Mapping[str, Answer], lengths: Iterable[int] = ()) -> None:
        self._text = text
        self._answers = answers
        self._lengths = frozenset(lengths)  # of the signatures, so that the body is read once for all of them
        self._hashes: dict[tuple[bytes, int | None], bodies.Hash] = {}

    def key(self, sig: Mapping[bytes, bytes]) -> Record:
        """Return the key of a signature; raise Fault."""
        answer = self._answers.get(key_name(sig))
        if isinstance(answer, DnsFailure):
            raise Fault(Result.TEMPERROR, str(answer))
        if not isinstance(answer, bytes):
            raise Fault(Result.PERMERROR, "there is no key at the selector")
        try:
            return record(answer)
        except BadKey as error:
            raise Fault(Result.PERMERROR, str(error)) from error

    def lacks_answer(self, sigs: Iterable[Mapping[bytes, bytes]]) -> bool:
        """Tell whether DNS did not answer for a key of some signatures."""
        return any(isinstance(self._answers.get(name), DnsFailure) for name in key_names(sigs))

    def body(self, form: bytes, length: int | None) -> bodies.Hash:
        """Return the hash of the body in a form, or of its first `length` octets."""
        if (form, length) not in self._hashes:
            lengths = self._lengths if length is None else self._lengths | {length}
            pieces = FORMS[form](bodies.read(self._text.body, self._text.offset))
            found = bodies.digests(pieces, lengths) if lengths else {None: bodies.digest(pieces)}
            self._hashes.update({(form, each): made for each, made in found.items()})
        return self._hashes[form, length]

    def check(self, signer: Any, sig: Mapping[bytes, bytes], names: list[bytes], field: tuple[bytes, bytes]) -> Record:
        """Check the signature that `field` holds over the fields `names` of dkimpy's `signer`; raise Fault."""
        found = self.key(sig)
        allow(sig, found)
        policy = _policy(sig)
        if b"bh" in sig:
            self._check_body(sig, policy.body_algorithm.name)
        if not _holds(found, _decoded(sig[b"b"]), hashed(signer, policy, names, field)):
            raise Fault(Result.FAIL, "the signature does not fit the header")
        return found

    def _check_body(self, sig: Mapping[bytes, bytes], form: bytes) -> None:
        length = signed_length(sig)
        found = self.body(form, length)
        if length is not None and length > found.size:
            raise Fault(Result.PERMERROR, "l= is more than the body")
        if found.digest != _decoded(sig[b"bh"]):
            raise Fault(Result.FAIL, "the body was changed")

    def tail(self, sig: Mapping[bytes, bytes]) -> int:
        """Return how many octets of the body l= leaves open to anybody."""
        length = signed_length(sig)
        return 0 if length is None else self.body(_policy(sig).body_algorithm.name, length).size - length


class Signed:
    """Mixed into dkimpy's classes: their own reading and check are replaced, all else of them stays."""

    checker: Checker
    headers: list[Field]

    def set_message(self, message: bytes) -> None:
        """Read a header section, as dkimpy's own does; nothing is known of the body."""
        super().set_message(b"")  # type: ignore[misc]  # dkimpy has no types
        self.headers = fields(message)

    def verify_sig(
        self, sig: dict[bytes, bytes], include_headers: list[bytes], sig_header: tuple[bytes, bytes], dnsfunc: object
    ) -> bool:
        """Tell whether a signature holds, as dkimpy's own does."""
        try:
            self.checker.check(self, sig, include_headers, sig_header)
        except Fault:
            return False
        return True


def key_name(sig: Mapping[bytes, bytes]) -> str:
    """Return where the key of a signature stands in DNS."""
    return f"{sig[b's'].decode('ascii', 'replace')}._domainkey.{sig[b'd'].decode('ascii', 'replace')}".lower()


def key_names(sigs: Iterable[Mapping[bytes, bytes]]) -> list[str]:
    """Return where the keys of signatures stand, each once; none for those that do not say it."""
    return list(dict.fromkeys(key_name(sig) for sig in sigs if b"s" in sig and b"d" in sig))


def signed_length(sig: Mapping[bytes, bytes]) -> int | None:
    """Return how many octets of the body are signed (l=), None for all of them; raise Fault."""
    text = sig.get(b"l")
    if text is None:
        return None
    if not text.isdigit() or len(text) > LENGTH_DIGITS:
        raise Fault(Result.PERMERROR, "l= value is not a decimal integer")
    return int(text)


def signed_lengths(sigs: Iterable[Mapping[bytes, bytes]]) -> set[int]:
    """Return the lengths that signatures name."""
    found = set()
    for sig in sigs:
        with contextlib.suppress(Fault):
            found.add(signed_length(sig))
    return {length for length in found if length is not None}


def allow(sig: Mapping[bytes, bytes], found: Record) -> None:
    """Raise Fault where the key may not make such a signature (RFC 6376 3.6.1, RFC 8301 3)."""
    kind = ALGORITHMS.get(sig[b"a"])
    if kind is None:
        raise Fault(Result.POLICY, f"{sig[b'a'].decode('ascii', 'replace')} is not taken any more")
    if isinstance(found.key, RSAPublicKey) != (kind == "rsa"):
        raise Fault(Result.PERMERROR, "the key is of another kind than the signature")
    if found.hashes and "sha256" not in found.hashes:
        raise Fault(Result.PERMERROR, "the key does not allow sha256")
    if kind == "rsa" and not BITS_LEAST <= found.bits <= BITS_MOST:
        raise Fault(Result.POLICY, f"a key of {found.bits} bits is not taken")


def _policy(sig: Mapping[bytes, bytes]) -> Any:
    try:
        return dkim.CanonicalizationPolicy.from_c_value(sig.get(b"c"))
    except dkim.InvalidCanonicalizationPolicyError as error:
        raise Fault(Result.PERMERROR, "c= is not known") from error


def hashed(signer: Any, policy: Any, names: list[bytes], field: tuple[bytes, bytes]) -> bytes:
    """Hash the fields that are signed, then the signature itself without its b= (RFC 6376 3.7).

    dkimpy's own expression for b= takes minutes over some signatures that strangers can write.
    """
    again = [b"from"] if b"from" in names else []  # so that no second From can be put in front
    form = policy.header_algorithm.name
    own = canonical([(field[0], unsigned(field[1]))], form)
    chosen = canonical(select(signer.headers, [*names, *again]), form)
    lines = [*chosen, *((name, value.rstrip()) for name, value in own)]
    return hashlib.sha256(b"".join(name + b":" + value for name, value in lines)).digest()


def unsigned(value: bytes) -> bytes:
    """Return the value of a signature field with an empty b=."""
    specs = value.split(b";")
    for at, spec in enumerate(specs):
        name, equals, _ = spec.partition(b"=")
        if equals and name.strip() == b"b":
            specs[at] = name + equals
    return b";".join(specs)


def _holds(found: Record, signature: bytes, digest: bytes) -> bool:
    try:
        if isinstance(found.key, RSAPublicKey):
            found.key.verify(signature, digest, PKCS1v15(), Prehashed(SHA256()))
        else:
            found.key.verify(signature, digest)  # RFC 8463 3
    except InvalidSignature:
        return False
    return True


def _decoded(value: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(value.split()))
    except ValueError as error:
        raise Fault(Result.PERMERROR, "b= or bh= is no base64") from error
