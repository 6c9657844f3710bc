"""Tokens: what the classifier goes by. Words and pairs of neighbours, of subject, text, some headers and links.

Measured on public mail, single words with their neighbours tell spam from ham better than pairs over a wider window,
at a third of the tokens (docs/filters.md).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import xor

import msgspec

from gatepost.message import decode, headers
from gatepost.message.anatomy import Anatomy, Part
from gatepost.message.reading import stripped
from gatepost.message.words import SIGNS

TEXT_MAX = 65_536  # characters of one part's text that are looked at
WORDS_MAX = 4000  # words of a mail's text
TOKENS_MAX = 3000  # tokens of a mail
WORD_MAX = 24  # characters; of a longer word its length alone counts
KEY = (1 << 60) - 1

_WORD = re.compile(
    rf"[{SIGNS}]|[^\W_{SIGNS}][^\W{SIGNS}]*(?:['\u2019$\u20ac\u00a3%&-]+[^\W{SIGNS}]+)*[%$]?|[!?$\u20ac\u00a3]+"
)
_NAMED = (b"from", b"reply-to", b"x-mailer", b"user-agent", b"content-type")
_PIECE = re.compile(r"[\w.+-]+")
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"[^\"]*\"|[^;\s]*)", re.IGNORECASE)
_LETTERS, _DIGITS = re.compile(r"[^\W\d_]+"), re.compile(r"\d+")
_FIELD_MAX = 300
_SHOUTED = re.compile(r"\b[A-Z]{4,}\b")

# What servers and mail programs add on a mail's way: it tells where one was taken from, not what it is.
_OF_THE_WAY = tuple(
    b"received return-path delivered-to envelope-to x-original-to authentication-results arc- x-spam x-virus x-gatepost"
    b" x-mozilla x-evolution status x-status x-keywords x-uid x-imap x-rspamd x-scanned x-envelope".split()
)


class Gist(msgspec.Struct, frozen=True):
    """What a mail is made of: runs of words, in which neighbours count, and marks that count alone."""

    runs: tuple[list[str], ...]
    marks: frozenset[str]


def gist(anatomy: Anatomy) -> Gist:
    """Return what the classifier goes by."""
    subject = [f"s:{word}" for word in _words(headers.readable(b" ".join(anatomy.values(b"subject"))))]
    return Gist((_text(anatomy), subject), frozenset(_marks(anatomy)))


def keys(mail: Gist) -> list[int]:
    """Return the keys of a mail's tokens, each once, each below 2**60."""
    found: dict[int, None] = {}
    for run in mail.runs:
        pairs = list(map(_hashed, run))
        alone = [alone for alone, _ in pairs]
        found |= dict.fromkeys(alone)
        found |= dict.fromkeys(map(xor, alone, [behind for _, behind in pairs[1:]]))
    found |= dict.fromkeys(_hashed(mark)[0] for mark in mail.marks)
    return list(found)[:TOKENS_MAX] if len(found) > TOKENS_MAX else list(found)


def keys_for(mail: Sequence[int], scope: int) -> Sequence[int]:
    """Return keys as they are those of one domain's lessons (0: of the lessons for all)."""
    if not scope:
        return mail
    salt = _hashed(f"\0{scope}")[0]
    return [key ^ salt for key in mail]


def identity(mail: Sequence[int]) -> int:
    """Return the key of a mail as a whole: mails of the same tokens are one."""
    digest = blake2b(b"".join(key.to_bytes(8) for key in sorted(mail)), digest_size=8).digest()
    return int.from_bytes(digest) & KEY


def spell(mail: Gist, wanted: Collection[int]) -> dict[int, str]:
    """Return how the tokens of some keys are written; a pair with a blank between."""
    found: dict[int, str] = {}
    for run in mail.runs:
        for at, word in enumerate(run):
            alone = _hashed(word)[0]
            found.setdefault(alone, word)
            if at + 1 < len(run):
                found.setdefault(alone ^ _hashed(run[at + 1])[1], f"{word} {run[at + 1]}")
    found |= {_hashed(mark)[0]: mark for mark in mail.marks}
    return {key: found[key] for key in wanted if key in found}


@lru_cache(maxsize=20_000)
def _hashed(word: str) -> tuple[int, int]:
    """Two keys of a word: for itself, and for standing behind another."""
    digest = blake2b(word.encode("utf-8", "replace"), digest_size=16).digest()
    return int.from_bytes(digest[:8]) & KEY, int.from_bytes(digest[8:]) & KEY


def _words(text: str) -> list[str]:
    return [_bounded(word) for word in _WORD.findall(text.lower())]


def _bounded(word: str) -> str:
    return word if len(word) <= WORD_MAX else f"length:{len(word) // 10}"


def _text(anatomy: Anatomy) -> list[str]:
    found: list[str] = []
    for part in anatomy.parts:
        if part.text and (part.body or not part.attachment):
            found += _words(_shown(part)[:TEXT_MAX])
            if len(found) >= WORDS_MAX:
                break
    return found[:WORDS_MAX]


def _shown(part: Part) -> str:
    if part.types[0] == "text/html":
        return stripped(part, 4 * TEXT_MAX)
    return decode.text(part.text[: 4 * TEXT_MAX], part.charset)


def _marks(anatomy: Anatomy) -> Iterator[str]:
    for name in _NAMED:
        for value in anatomy.values(name):
            text = _BOUNDARY.sub("", headers.readable(value[:_FIELD_MAX])).lower()
            yield from (f"{name.decode()}:{piece[:64]}" for piece in _PIECE.findall(text))
    for value in anatomy.values(b"message-id"):
        local, _, host = headers.readable(value[:_FIELD_MAX]).lower().strip("<> ").partition("@")
        yield f"id-host:{_DIGITS.sub('9', host)}"
        yield f"id-shape:{_DIGITS.sub('9', _LETTERS.sub('a', local))[:20]}"
    for field in anatomy.headers:
        name = field.name[:40].lower()
        if not name.startswith(_OF_THE_WAY):
            yield f"field:{name.decode('latin-1')}"
    for link in anatomy.links:
        yield f"host:{link.host}"
        yield f"domain:{link.domain}"
    for part in anatomy.parts:
        yield f"part:{part.types[0]}/{part.encoding}/{part.charset}"
    for word in _SHOUTED.findall(headers.readable(b" ".join(anatomy.values(b"subject")))):
        yield f"shouted:{word[:WORD_MAX]}"
