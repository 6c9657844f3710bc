"""Verifies the chain of ARC sets (RFC 8617) by dkimpy, with keys asked for before."""

import re
from functools import cached_property
from typing import Any, cast

import dkim  # type: ignore[import-untyped]  # it has no types
from dkim.util import InvalidTagValueList, parse_tag_value  # type: ignore[import-untyped]  # likewise

from gatepost.mailauth.header import Field
from gatepost.mailauth.verify import Checker, Signed
from gatepost.model.auth import Arc, Result

SETS = 50  # RFC 8617 4.2.1
# Quoted strings and comments. One without an end is read once, too, not anew from each quote inside it.
_NOISE = re.compile(rb'"(?:[^"\\]|\\.)*+("?)|\((?:[^()\\]|\\.)*+(\)?)', re.DOTALL)
_DMARC = re.compile(rb"\s*dmarc\s*=\s*(\w+)(.*)\Z", re.IGNORECASE | re.DOTALL)
_FROM = re.compile(rb"\sheader\.from\s*=\s*([\w.-]+)", re.IGNORECASE)
MESSAGE, SEAL, RESULTS = b"arc-message-signature", b"arc-seal", b"arc-authentication-results"


class Chain(Signed, dkim.ARC):  # type: ignore[misc]  # dkimpy has no types
    """A mail's header as dkimpy reads it for ARC.

    dkimpy looks for a set's signature by ` i=N;` and does not find it where a line, or nothing, goes before the tag:
    it is shown such a text, and the field itself is put in its place.
    """

    @cached_property
    def _sets(self) -> tuple[int, list[tuple[int, Field]]]:
        whole, self.headers = self.headers, [field for field in self.headers if field[0].lower() in self.ARC_HEADERS]
        try:
            return cast("tuple[int, list[tuple[int, Field]]]", super().sorted_arc_headers())
        finally:
            self.headers = whole

    def sorted_arc_headers(self) -> tuple[int, list[tuple[int, Field]]]:
        """Return the highest instance and the fields of all sets, as dkimpy does, who makes all fields canonical."""
        return self._sets

    def verify_instance(self, fields: list[tuple[int, Field]], instance: int, dnsfunc: object = None) -> dict[str, Any]:
        """Return what one set is worth, as dkimpy tells it."""
        self._true = self.headers
        self.headers = [(MESSAGE, b" i=%d;" % instance)]
        try:
            found: dict[str, Any] = super().verify_instance(fields, instance, dnsfunc=dnsfunc)
            return found
        finally:
            self.headers = self._true

    def verify_sig(
        self, sig: dict[bytes, bytes], include_headers: list[bytes], sig_header: Field, dnsfunc: object
    ) -> bool:
        """Tell whether a signature holds over the mail's own fields."""
        shown, self.headers = self.headers, self._true
        try:
            if sig_header[0].lower() == MESSAGE:
                sig_header = next(
                    (field for field in self.headers if _is_message_signature(field, sig[b"i"])), sig_header
                )
            return super().verify_sig(sig, include_headers, sig_header, dnsfunc)
        finally:
            self.headers = shown


def read(head: bytes) -> Chain | None:
    """Read a header section; None where it has a line that is no field."""
    try:
        return Chain(head)
    except (dkim.MessageFormatError, IndexError):
        return None


def tags(chain: Chain) -> list[dict[bytes, bytes]]:
    """Return the tags of seals and signatures; none for a chain that is too long."""
    if _too_long(chain):
        return []
    _, fields = chain.sorted_arc_headers()
    found = [_tags(value) for _, (name, value) in fields if name.lower() != RESULTS]
    return [each for each in found if each]


def verify(chain: Chain, checker: Checker) -> Arc:
    """Return what the chain is worth (blocking where the body is a file)."""
    if _too_long(chain):
        return Arc(result=Result.FAIL, reason="more sets than are allowed")
    chain.checker = checker
    try:
        said, sets, reason = chain.verify(dnsfunc=None)
    except (dkim.DKIMException, LookupError, ValueError) as error:  # hostile fields, of the library's making
        return Arc(result=Result.FAIL, reason=f"the sets can't be read ({type(error).__name__})")
    sealers = tuple(_sealer(each["as-domain"]) for each in sets)
    result = {b"pass": Result.PASS, b"none": Result.NONE}.get(said, Result.FAIL)
    if result is Result.FAIL and checker.lacks_answer(tags(chain)):
        return unsure(chain, reason)
    if result is not Result.PASS:
        return Arc(result=result, sealers=sealers, reason=reason if result is Result.FAIL else "")
    return Arc(result=result, sealers=sealers, author=_author(sets[-1]["aar-value"]))


def unsure(chain: Chain, reason: str) -> Arc:
    """Return a chain as of which nothing can be said now, with what it claims of itself."""
    newest, fields = chain.sorted_arc_headers()
    if newest == 0 or _too_long(chain):
        return Arc(result=Result.FAIL if newest else Result.NONE, reason=reason if newest else "")
    seals = {at: _tags(value) for at, (name, value) in fields if name.lower() == SEAL}
    told = next((value for at, (name, value) in fields if at == 1 and name.lower() == RESULTS), b"")
    return Arc(
        result=Result.FAIL,
        sealers=tuple(_sealer(seals[at].get(b"d", b"")) for at in sorted(seals, reverse=True)),
        author=_author(told),
        reason=reason,
        unsure=True,
    )


def _too_long(chain: Chain) -> bool:
    newest, fields = chain.sorted_arc_headers()
    return newest > SETS or len(fields) > 3 * SETS


def _sealer(domain: bytes) -> str:
    return domain.decode("ascii", "replace").lower()[:255]


def _author(results: bytes) -> str:
    """Return the domain that DMARC proved, as ARC-Authentication-Results tell it (RFC 8601 2.2)."""
    bare = _NOISE.sub(lambda found: b" " if found[1] or found[2] else found[0][:1], results)
    if b'"' in bare or b"(" in bare:  # no strange text is taken for a result
        return ""
    told = [found for each in bare.split(b";") if (found := _DMARC.match(each))]
    domain = _FROM.search(told[0][2]) if len(told) == 1 and told[0][1].lower() == b"pass" else None
    return domain[1].decode("ascii", "replace").lower() if domain else ""


def _is_message_signature(field: Field, instance: bytes) -> bool:
    return field[0].lower() == MESSAGE and _tags(field[1]).get(b"i") == instance


def _tags(value: bytes) -> dict[bytes, bytes]:
    try:
        return cast("dict[bytes, bytes]", parse_tag_value(value))
    except InvalidTagValueList:
        return {}
