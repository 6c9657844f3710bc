"""Reads the paths and parameters of MAIL and RCPT strictly (RFC 5321 4.1.2, 1870, 6152, 6531, 3461, 4954, 8689)."""

import re

import msgspec

from gatepost.model.address import Address, BadAddress, BareIp, parse_path
from gatepost.model.envelope import Dsn
from gatepost.model.problem import Kind, Problem
from gatepost.smtp.replies import MAIL_SYNTAX, RCPT_SYNTAX, Refusal, Reply

_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*\Z")
_VALUE = re.compile(r"[!-<>-~\u0080-\U0010ffff]+\Z")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+\Z")
_UNPRINTABLE = re.compile(r"\+(?:[01][0-9A-F]|7F|[89A-F][0-9A-F])")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*\Z")

ENVID_MAX = 100  # RFC 3461 4.4
ORCPT_MAX = 500  # RFC 3461 4.2
SIZE_DIGITS = 20  # RFC 1870 6


class MailOptions(msgspec.Struct, frozen=True):
    size: int = 0
    eightbit: bool = False
    smtputf8: bool = False
    requires_tls: bool = False
    dsn: Dsn = Dsn()


NO_OPTIONS = MailOptions()


def sender_path(argument: str) -> tuple[Address | None, str]:
    """Read what follows MAIL: the sender, None for the null one, and the parameters. Raises Refusal."""
    try:
        sender, rest = parse_path(_after("FROM:", argument, MAIL_SYNTAX))
        if sender is not None and not sender.domain:
            raise BadAddress("the address has no domain")
    except BadAddress as error:
        raise Refusal(Reply(501, "5.1.7", str(error))) from None
    return sender, rest


def recipient_path(argument: str) -> tuple[Address | None, str]:
    """Read what follows RCPT: the recipient and the parameters. Raises Refusal, and Problem(RELAYING_DENIED)."""
    try:
        return parse_path(_after("TO:", argument, RCPT_SYNTAX))
    except BareIp:  # well-formed, but no domain of ours (threat 36)
        raise Problem(Kind.RELAYING_DENIED, "relaying denied") from None
    except BadAddress as error:
        raise Refusal(Reply(501, "5.1.3", str(error))) from None


def _after(keyword: str, argument: str, otherwise: Reply) -> str:
    if argument[: len(keyword)].upper() != keyword:
        raise Refusal(otherwise)
    return argument[len(keyword) :].lstrip(" ")


def _wrong(text: str) -> Refusal:
    return Refusal(Reply(501, "5.5.4", text))


def split(text: str) -> dict[str, str | None]:
    """Read `KEY=value KEY ...`; a key without value gives None. Raises Refusal."""
    found: dict[str, str | None] = {}
    for word in text.split():
        key, equals, value = word.partition("=")
        key = key.upper()
        if not _KEYWORD.match(key) or (equals and not _VALUE.match(value)):
            raise _wrong("a parameter is malformed")
        if key in found:
            raise _wrong(f"{key} is given twice")
        found[key] = value if equals else None
    return found


def _known(given: dict[str, str | None], known: frozenset[str]) -> None:
    for key in given:
        if key not in known:
            raise Refusal(Reply(555, "5.5.4", f"{key} is not supported"))


_MAIL = frozenset(("SIZE", "BODY", "SMTPUTF8", "AUTH"))
_MAIL_DSN = frozenset(("RET", "ENVID"))
_MAIL_TLS = frozenset(("REQUIRETLS",))
_RCPT: frozenset[str] = frozenset()
_RCPT_DSN = frozenset(("NOTIFY", "ORCPT"))


def mail_options(text: str, *, dsn: bool, requiretls: bool = False) -> MailOptions:
    """Read the parameters of MAIL; `dsn` and `requiretls` are offered. Raises Refusal."""
    if not text:
        return NO_OPTIONS
    given = split(text)
    _known(given, _MAIL | (_MAIL_DSN if dsn else frozenset()) | (_MAIL_TLS if requiretls else frozenset()))
    if "AUTH" in given and given["AUTH"] != "<>":
        _xtext("AUTH", given["AUTH"])
    for key in ("SMTPUTF8", "REQUIRETLS"):
        if given.get(key) is not None:
            raise _wrong(f"{key} takes no value")
    return MailOptions(
        size=_size(given),
        eightbit=_body(given) == "8BITMIME",
        smtputf8="SMTPUTF8" in given,
        requires_tls="REQUIRETLS" in given,
        dsn=Dsn(
            ret=_one_of("RET", given["RET"], ("FULL", "HDRS")) if "RET" in given else None,
            envid=_xtext("ENVID", given["ENVID"], ENVID_MAX) if "ENVID" in given else None,
        ),
    )


def rcpt_options(text: str, mail: Dsn, *, dsn: bool, smtputf8: bool) -> Dsn:
    """Read the parameters of RCPT; return them with those of the mail. Raises Refusal."""
    if not text:
        return mail
    given = split(text)
    _known(given, _RCPT_DSN if dsn else _RCPT)
    return Dsn(
        notify=_notify(given["NOTIFY"]) if "NOTIFY" in given else frozenset(),
        orcpt=_orcpt(given["ORCPT"], smtputf8) if "ORCPT" in given else None,
        ret=mail.ret,
        envid=mail.envid,
    )


def _size(given: dict[str, str | None]) -> int:
    if "SIZE" not in given:
        return 0
    value = given["SIZE"] or ""
    if not (value.isascii() and value.isdigit() and len(value) <= SIZE_DIGITS):
        raise _wrong("SIZE is no number")
    return int(value)


def _body(given: dict[str, str | None]) -> str:
    if "BODY" not in given:
        return "7BIT"
    value = (given["BODY"] or "").upper()
    if value == "BINARYMIME":
        raise Refusal(Reply(555, "5.5.4", "BODY=BINARYMIME is not supported"))
    return _one_of("BODY", value, ("7BIT", "8BITMIME"))


def _one_of(key: str, value: str | None, values: tuple[str, ...]) -> str:
    upper = (value or "").upper()
    if upper not in values:
        raise _wrong(f"{key} is one of {', '.join(values)}")
    return upper


def _xtext(key: str, value: str | None, limit: int = ORCPT_MAX) -> str:
    if value is None or not _XTEXT.match(value) or _UNPRINTABLE.search(value):
        raise _wrong(f"{key} is no xtext")
    if len(value) > limit:
        raise _wrong(f"{key} is too long")
    return value


def _notify(value: str | None) -> frozenset[str]:
    words = (value or "").upper().split(",")
    chosen = frozenset(words)
    if len(words) != len(chosen) or not (chosen == {"NEVER"} or chosen <= {"SUCCESS", "FAILURE", "DELAY"}):
        raise _wrong("NOTIFY is NEVER, or some of SUCCESS, FAILURE, DELAY")
    return chosen


def _orcpt(value: str | None, smtputf8: bool) -> str:
    kind, semicolon, address = (value or "").partition(";")
    if not semicolon or not _ADDRESS_TYPE.match(kind):
        raise _wrong("ORCPT is an address type, a semicolon and an address")
    if smtputf8 and kind.lower() == "utf-8" and not address.isascii():  # RFC 6533 3
        if len(address.encode()) > ORCPT_MAX or not address.isprintable():
            raise _wrong("ORCPT is malformed")
    else:
        _xtext("ORCPT", address)
    return f"{kind};{address}"
