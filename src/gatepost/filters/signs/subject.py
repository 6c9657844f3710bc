"""Signs in the subject: how it shouts, gapes and hides."""

import re
from collections.abc import Iterator

from gatepost.filters.signs.facts import Facts, Sign
from gatepost.filters.signs.scripts import mixed
from gatepost.message.headers import unfold

END = 200  # octets of the raw field
_GAPPY = re.compile(r"(?:\b[^\W\d_][ .*_~-]{1,2}){3,}[^\W\d_]\b")
_PADDED = re.compile(rb"\S(?:[ ]{10,}|[ \t]{2,}\t[ \t]*)[\[(#]?[A-Za-z0-9.-]{2,20}[\])]?\s*\Z")
_TAIL = re.compile(r"[^\w][\[({]?(?!(?:https|httpd|xhtml|dhcpd)\b)[bcdfghjklmnpqrstvwxz]{5,}[\])}]?\Z")
_OBFUSCATED = re.compile(r"(?i)\b(?=[a-z]*[0-9@$!|][a-z])[a-z]+[013457@$!|][a-z]{2,}\b")
_ADDRESS = re.compile(r"\S+@\S+")
_KNOWN = re.compile(
    r"(?i)\b(?:[a-z]+[0-9]+[a-z]?|[a-z]*(?:mp3|mp4|h264|x86|b2b|b2c|p2p|i18n|l10n|k8s|e2e|o365|s3|r2d2)\w*)\b"
)
_MONEY = re.compile(r"[$€£] ?[0-9]|\b[0-9][0-9.,]* ?(?:%|[$€£]|USD|EUR|dollars|million)|\$\$", re.IGNORECASE)
_EXCLAIMS = re.compile(r"!!|\?\?|[!?]{2}|!\s*\Z|^!|\*{2,}|>>|~~")
_TELLING = re.compile(r"[0-9$€£!?*>~@|]")  # of which one stands in whatever the three match that are asked behind it
_REPLY = re.compile(r"(?:re|aw|fwd?|fw|tr|sv|wg)\s*:", re.IGNORECASE)


def subject(facts: Facts) -> Iterator[Sign]:
    raw, text = facts.raw(b"subject"), facts.prose.subject
    if not text.strip():
        yield "SUBJECT_MISSING", ""
        return
    answer = _REPLY.match(text)
    bare = _REPLY.sub("", text).strip() if ":" in text else text.strip()
    letters = [char for char in bare if char.isalpha()]
    if len(letters) >= 8 and sum(map(str.isupper, letters)) > 0.8 * len(letters):
        yield "SUBJECT_SHOUTS", ""
    telling = _TELLING.search(bare)
    if telling and _EXCLAIMS.search(bare):
        yield "SUBJECT_EXCLAIMS", ""
    if telling and (found := _MONEY.search(bare)):
        yield "SUBJECT_MONEY", found[0]
    if _GAPPY.search(bare):
        yield "SUBJECT_GAPPY", ""
    if _PADDED.search(unfold(raw)[-END:]) or (not facts.listed and not answer and _TAIL.search(bare)):
        yield "SUBJECT_PADDED", ""
    if telling and (found := _OBFUSCATED.search(_ADDRESS.sub("", bare))) and not _KNOWN.fullmatch(found[0]):
        yield "SUBJECT_OBFUSCATED", found[0]
    if words := mixed(bare):
        yield "SUBJECT_MIXED", words[0]
    if _names_reader(facts, bare.lower()):
        yield "SUBJECT_NAMES_READER", ""
    if answer and not facts.answers and text[:2].lower() == "re":
        yield "SUBJECT_FAKE_REPLY", ""
    if not (unfold(raw).isascii() and facts.raw(b"from").isascii()) and not facts.envelope.smtputf8:
        yield "SUBJECT_RAW", ""


def _names_reader(facts: Facts, text: str) -> bool:
    return any(
        address in text or (len(local := address.partition("@")[0]) > 3 and text.startswith((f"{local},", f"{local} ")))
        for address in facts.recipients
    )
