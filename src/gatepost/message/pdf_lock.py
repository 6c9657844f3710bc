"""Takes the lock off a PDF that opens without a password (ISO 32000-2 7.6): most that are locked forbid but printing.

Programs that show PDFs try the empty password before they ask for one.
"""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gatepost.message.octets import octets

_OBJECTS_MAX = 50_000
_LOCKS_MAX = 3
_PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
_LOCKED = octets(rb"/Encrypt[\0\s]*(?:<<|[0-9])")
_LOCK = re.compile(rb"/Encrypt(?=\s*(?:([0-9]{1,9})\s+[0-9]{1,5}\s+R|<<))")
_ID = re.compile(rb"/ID\s*\[\s*(<[0-9A-Fa-f\s]*+>|\((?:[^()\\]|\\.){0,1000}\))", re.DOTALL)
_OBJECT = re.compile(rb"(?<![0-9])([0-9]{1,9})\s+([0-9]{1,5})\s+obj\b")
_STREAM = re.compile(rb"stream[ \t]*(?:\r\n|\r|\n)")
_LENGTH = re.compile(rb"/Length\s+([0-9]{1,9})(?![0-9\s]*\sR)")
_STRING = re.compile(
    rb"\(([^()\\]*+(?:(?:\\.|\((?:[^()\\]|\\.){0,1000}\))[^()\\]*+){0,100000})\)|(?<!<)<([0-9A-Fa-f\s]++)>", re.DOTALL
)
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|\r\n|.)|\r\n?", re.DOTALL)
_MEANT = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\r\n": b"", b"\r": b"", b"\n": b""}
_KEPT = re.compile(rb"/(?:Type\s*/XRef|Filter\s*\[?\s*/Crypt)\b")  # streams that are not locked
_ROUNDS = 64
_RC4_MAX = 1_000_000  # octets of one object that are deciphered by a key of a rare size

Decipher = Callable[[bytes, bytes, bytes], bytes]
"""(octets, the number and the generation of the object in which they stand) -> what they were."""


class _Lock(NamedTuple):
    """What the dictionary of a lock says; `id` is the file's."""

    text: bytes
    version: int
    revision: int
    id: bytes

    def string(self, name: bytes) -> bytes:
        match = re.search(rb"/" + name + rb"\s*(?:" + _STRING.pattern + rb")", self.text, re.DOTALL)
        return _octets(match[1], match[2]) if match else b""

    def number(self, name: bytes, otherwise: int) -> int:
        match = re.search(rb"/" + name + rb"\s+(-?[0-9]{1,10})", self.text)
        return int(match[1]) if match else otherwise

    def method(self, name: bytes) -> bytes:
        """Return the method by which strings or streams are locked."""
        if self.version < 4:
            return b"V2"
        chosen = re.search(rb"/" + name + rb"\s*/([A-Za-z0-9]+)", self.text)
        made = re.search(rb"/" + (chosen[1] if chosen else b"Identity") + rb"\s*<<([^>]*)>>", self.text)
        told = re.search(rb"/CFM\s*/(V2|AESV2|AESV3)", made[1]) if made else None
        return told[1] if told else b"None"


def is_locked(content: bytes) -> bool:
    """Tell whether a PDF says that it is locked."""
    return _LOCKED.search(content) is not None


def unlocked(content: bytes) -> bytes:
    """Return a PDF as it was before it was locked, its strings in digits; as it stands where that takes a password."""
    try:
        lock = _lock(content)
        key = _key(lock) if lock else b""
        return _unlocked(content, lock, key) if lock and key else content
    except ValueError:  # keys of odd sizes
        return content


def _unlocked(content: bytes, lock: _Lock, key: bytes) -> bytes:
    strings, streams = (_decipher(lock.method(name), key) for name in (b"StrF", b"StmF"))
    pieces: list[bytes] = []
    at = 0
    for begin, end in _objects(content):
        head = content[begin.end() : end]
        if lock.text in head:
            continue
        number, generation = int(begin[1]).to_bytes(4, "little")[:3], int(begin[2]).to_bytes(3, "little")[:2]
        stream = _STREAM.search(head)
        told, body = (head[: stream.start()], head[stream.end() :]) if stream else (head, b"")
        pieces += [content[at : begin.end()], _plain_strings(told, strings, number, generation)]
        if stream:
            data, rest = _cut(body, told)
            plain = data if _KEPT.search(told) else streams(data, number, generation)
            pieces += [stream[0], plain, b"\n", rest]
        at = end
    return _LOCK.sub(b"/Opened", b"".join([*pieces, content[at:]]))


def _objects(content: bytes) -> Iterator[tuple[re.Match[bytes], int]]:
    """Yield where objects begin and end; what looks like one within a stream is none."""
    at = 0
    for _ in range(_OBJECTS_MAX):
        begin = _OBJECT.search(content, at)
        if begin is None:
            return
        end = content.find(b"endobj", begin.end())
        stream = _STREAM.search(content, begin.end(), end if end >= 0 else len(content))
        length = _LENGTH.search(content, begin.end(), stream.start()) if stream else None
        if stream and length:
            end = content.find(b"endobj", stream.end() + int(length[1]))
        at = end if end >= 0 else len(content)
        yield begin, at


def _cut(body: bytes, dictionary: bytes) -> tuple[bytes, bytes]:
    """Cut a stream's octets from what stands behind them."""
    told = _LENGTH.search(dictionary)
    end = int(told[1]) if told else len(body)
    if not body[end : end + 20].lstrip().startswith(b"endstream"):
        end = body.rfind(b"endstream")
        end = len(body) if end < 0 else end - (body[:end].endswith(b"\n") + body[:end].endswith(b"\r\n"))
    return body[:end], body[end:]


def _plain_strings(text: bytes, decipher: Decipher, number: bytes, generation: bytes) -> bytes:
    def plain(match: re.Match[bytes]) -> bytes:
        return b"<" + decipher(_octets(match[1], match[2]), number, generation).hex().encode() + b">"

    return _STRING.sub(plain, text)


def _octets(literal: bytes | None, digits: bytes | None) -> bytes:
    """Return the octets of a string."""
    if literal is None:
        packed = (digits or b"").translate(None, b"\t\n\v\f\r ")
        return bytes.fromhex((packed + b"0" * (len(packed) % 2)).decode("ascii"))
    return _ESCAPE.sub(_meant, literal)


def _meant(match: re.Match[bytes]) -> bytes:
    said = match[1]
    if said is None:
        return b"\n"
    return bytes([int(said, 8) & 255]) if said[0] in b"01234567" else _MEANT.get(said, said)


# --- keys (7.6.4) ----------------------------------------------------------------------------------------------------


def _lock(content: bytes) -> _Lock | None:
    """Read the newest dictionary of a lock."""
    for match in reversed(deque(_LOCK.finditer(content), _LOCKS_MAX)):
        start = match.end()
        if match[1]:
            places = re.finditer(rb"(?<![0-9])0{0,8}" + match[1] + rb"\s+[0-9]{1,5}\s+obj\b", content)
            start = max((place.end() for place in places), default=-1)
        end = content.find(b"endobj", start) if match[1] else min(len(content), start + 5000)
        text = content[start : end if end >= 0 else start + 5000] if start >= 0 else b""
        if b"/Standard" in text:
            told = _Lock(text, 0, 0, b"")
            version, revision = told.number(b"V", 0), told.number(b"R", 0)
            identity = _ID.search(content)
            first = _STRING.match(identity[1]) if identity else None
            return _Lock(text, version, revision, _octets(first[1], first[2]) if first else b"")
    return None


def _key(lock: _Lock) -> bytes:
    """Return the key that the empty password gives; none where it is not the right one."""
    user = lock.string(b"U")
    if lock.revision in (5, 6) and len(user) >= 48:
        digest = _hash_6 if lock.revision == 6 else _hash_5
        if digest(user[32:40]) != user[:32]:
            return b""
        return _aes(digest(user[40:48]), bytes(16), lock.string(b"UE")[:32])
    if lock.revision not in (2, 3, 4):
        return b""
    size = 5 if lock.revision == 2 else min(max(lock.number(b"Length", 40) // 8, 5), 16)
    size = 16 if lock.version == 4 else size
    rights = (lock.number(b"P", 0) & 0xFFFFFFFF).to_bytes(4, "little")
    bare = lock.revision == 4 and re.search(rb"/EncryptMetadata\s+false", lock.text)
    key = hashlib.md5(
        _PADDING + lock.string(b"O")[:32] + rights + lock.id + (b"\xff" * 4 if bare else b""), usedforsecurity=False
    ).digest()
    for _ in range(50 if lock.revision > 2 else 0):
        key = hashlib.md5(key[:size], usedforsecurity=False).digest()
    key = key[:size]
    return key if _proof(lock, key)[:16] == user[:16] else b""


def _proof(lock: _Lock, key: bytes) -> bytes:
    """Return what stands in a dictionary as the proof of the empty password."""
    if lock.revision == 2:
        return _rc4(key, _PADDING)
    proof = _rc4(key, hashlib.md5(_PADDING + lock.id, usedforsecurity=False).digest())
    for number in range(1, 20):
        proof = _rc4(bytes(octet ^ number for octet in key), proof)
    return proof


def _hash_5(salt: bytes) -> bytes:
    return hashlib.sha256(salt).digest()


def _hash_6(salt: bytes) -> bytes:
    """Return the hash of the empty password (7.6.4.3.4, algorithm 2.B)."""
    key = hashlib.sha256(salt).digest()
    number, last = 0, 0
    while number < _ROUNDS or last > number - 32:
        encryptor = Cipher(algorithms.AES(key[:16]), modes.CBC(key[16:32])).encryptor()
        mixed = encryptor.update(key * _ROUNDS)
        key = hashlib.new(("sha256", "sha384", "sha512")[sum(mixed[:16]) % 3], mixed).digest()
        number, last = number + 1, mixed[-1]
    return key[:32]


def _decipher(method: bytes, key: bytes) -> Decipher:
    def of_object(data: bytes, number: bytes, generation: bytes) -> bytes:
        salt = b"sAlT" if method == b"AESV2" else b""
        own = hashlib.md5(key + number + generation + salt, usedforsecurity=False).digest()[: min(len(key) + 5, 16)]
        return _rc4(own, data) if method == b"V2" else _unpadded(own, data)

    if method == b"AESV3":
        return lambda data, number, generation: _unpadded(key, data)
    return (lambda data, number, generation: data) if method == b"None" else of_object


def _unpadded(key: bytes, data: bytes) -> bytes:
    plain = _aes(key, data[:16].ljust(16, b"\0"), data[16:])
    return plain[: -plain[-1]] if plain and 0 < plain[-1] <= 16 else plain


def _aes(key: bytes, start: bytes, data: bytes) -> bytes:
    whole = len(data) // 16 * 16
    return Cipher(algorithms.AES(key), modes.CBC(start)).decryptor().update(data[:whole])


def _rc4(key: bytes, data: bytes) -> bytes:
    if 8 * len(key) in ARC4.key_sizes:
        return Cipher(ARC4(key), None).decryptor().update(data)
    return bytes(octet ^ other for octet, other in zip(data[:_RC4_MAX], _rc4_octets(key), strict=False))


def _rc4_octets(key: bytes) -> Iterator[int]:
    """Yield what octets are mixed with, for keys of rare sizes."""
    box, other = list(range(256)), 0
    for place in range(256):
        other = (other + box[place] + key[place % len(key)]) & 255
        box[place], box[other] = box[other], box[place]
    one = other = 0
    while True:
        one = (one + 1) & 255
        other = (other + box[one]) & 255
        box[one], box[other] = box[other], box[one]
        yield box[(box[one] + box[other]) & 255]
