"""Seals a mail that is passed on changed: one more set of ARC fields over it (RFC 8617 5.1)."""

import base64
import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence

import dkim  # type: ignore[import-untyped]  # it has no types
from dkim.util import InvalidTagValueList, parse_tag_value  # type: ignore[import-untyped]  # likewise

from gatepost.mailauth import arc
from gatepost.mailauth.body import digest, read, relaxed
from gatepost.mailauth.header import Field, canonical
from gatepost.mailauth.sign import Signer, SigningFailed
from gatepost.mailauth.verify import hashed
from gatepost.model.auth import Result
from gatepost.model.envelope import Body

RESULTS, SIGNATURE, SEAL = b"ARC-Authentication-Results", b"ARC-Message-Signature", b"ARC-Seal"
LINE = 76
_FORM = dkim.CanonicalizationPolicy.from_c_value(b"relaxed/relaxed")
_ALSO_SIGNED = b"dkim-signature"  # RFC 8617 4.1.2

Tag = tuple[bytes, bytes]


def seal(
    head: bytes,
    body: Body,
    offset: int,
    signer: Signer,
    results: str,
    chain: Result,
    now: int,
    names: Sequence[bytes] = (),
) -> bytes:
    """Return the next ARC set for `head` followed by what `body` holds from `offset` on (blocking).

    `results` is what Authentication-Results holds, `chain` what the sets in `head` were worth when they came (none,
    pass or fail), `now` in epoch seconds, `names` the fields to sign (else the usual ones). b"" where there may be no
    further set: after one that says that the chain fails, after 50, and where `head` is not what `chain` speaks of.
    Raises SigningFailed.
    """
    with _reported():
        mail = arc.Chain(head)
        newest, fields = mail.sorted_arc_headers()
        before: list[Field] = [field for _, field in reversed(fields)]
        if newest >= arc.SETS or (newest > 0) == (chain is Result.NONE) or _ended(before, newest):
            return b""
        instance = b"%d" % (newest + 1)
        common = [(b"a", signer.algorithm), (b"d", signer.domain.encode()), (b"i", instance)]
        common += [(b"s", signer.selector.encode()), (b"t", b"%d" % now)]
        told = (RESULTS, b" i=" + instance + b"; " + results.strip().encode() + b"\r\n")
        signed = _signed(mail, signer, [*common, *_message_tags(mail, body, offset, names)])
        sealed = [(b"cv", chain.value.encode()), *common, (b"b", b"")]
        over = [told, signed] if chain is Result.FAIL else [*before, told, signed]  # RFC 8617 5.1.2
        closed = (SEAL, _value(sealed, signer.sign(_hash([*over, (SEAL, _value(sealed))])).signature))
        return b"".join(name + b":" + value for name, value in (closed, signed, told))


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except (dkim.DKIMException, InvalidTagValueList, OSError, ValueError, TypeError, LookupError) as error:
        raise SigningFailed(repr(error)) from error


def _message_tags(mail: arc.Chain, body: Body, offset: int, names: Sequence[bytes]) -> list[Tag]:
    chosen = [name.lower() for name in names] or _usual(mail)
    if b"from" not in chosen:
        raise SigningFailed("the mail has no From")
    bodied = base64.b64encode(digest(relaxed(read(body, offset))).digest)
    return [(b"b", b""), (b"bh", bodied), (b"c", _FORM.to_c_value()), (b"h", _folded(chosen))]


def _usual(mail: arc.Chain) -> list[bytes]:
    signed = [name.lower() for name, _ in mail.headers if name.lower() == _ALSO_SIGNED]
    return [*(name.lower() for name in mail.default_sign_headers()), *signed]


def _signed(mail: arc.Chain, signer: Signer, tags: list[Tag]) -> Field:
    names = [name.strip() for name in dict(tags)[b"h"].split(b":")]
    return SIGNATURE, _value(tags, signer.sign(hashed(mail, _FORM, names, (SIGNATURE, _value(tags)))).signature)


def _ended(before: Iterable[Field], newest: int) -> bool:
    """Tell whether the last set says that the chain fails: nothing is added to such a one (RFC 8617 5.1.2)."""
    seals = [parse_tag_value(value) for name, value in before if name.lower() == SEAL.lower()]
    return any(tags.get(b"i") == b"%d" % newest and tags.get(b"cv", b"").lower() == b"fail" for tags in seals)


def _hash(fields: Sequence[Field]) -> bytes:
    *lines, last = canonical(fields, b"relaxed")
    lines.append((last[0], last[1].rstrip()))
    return hashlib.sha256(b"".join(name + b":" + value for name, value in lines)).digest()


def _value(tags: Iterable[Tag], signature: bytes = b"") -> bytes:
    """Return a field's value: the tags by their names, on lines of their own (a blank before i=, for dkimpy)."""
    told = {**dict(tags), b"b": base64.b64encode(signature)}
    return b" " + b";\r\n ".join(name + b"=" + told[name] for name in sorted(told)) + b"\r\n"


def _folded(names: Iterable[bytes]) -> bytes:
    lines = [b""]
    for name in names:
        if len(lines[-1]) + len(name) > LINE:
            lines.append(b"")
        lines[-1] += name + b":"
    return b"\r\n\t".join(lines).rstrip(b":")
