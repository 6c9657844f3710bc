"""The rule of each option type: what its values look like, and the one form in which they are kept."""

import base64
import binascii
import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Mapping
from functools import cache

from gatepost.model.address import domain_name, parse_address
from gatepost.model.options import Definition, OptionType
from gatepost.model.problem import Kind, Problem
from gatepost.services.records import LINE, LINES

LONGEST_LINE = 1000  # characters
LONGEST_TEXT = 20_000
LARGEST_DOC = 131_072  # octets
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
_MEDIA = re.compile(r"data:[a-z]+/[a-z0-9][a-z0-9.+-]{0,100};base64,([A-Za-z0-9+/]*={0,2})\Z", re.ASCII)


def read_value(definition: Definition, text: str) -> str:
    """Return a value in the form in which it is kept; raise MALFORMED, saying what its type asks for."""
    try:
        value = _READ[definition.type](text)
    except ValueError as error:
        detail = f"{definition.name} is of the type {definition.type}: {error}."
        raise Problem(Kind.MALFORMED, detail, pointer="/value") from error
    if definition.number and not re.fullmatch(r"[0-9]{1,9}", value):
        raise Problem(Kind.MALFORMED, f"{definition.name} is a number of at most nine digits.", pointer="/value")
    if definition.least and not re.fullmatch(rf"[!-~]{{{definition.least},}}", value):
        detail = f"{definition.name} is a word of at least {definition.least} ASCII characters, none of them a blank."
        raise Problem(Kind.MALFORMED, detail, pointer="/value")
    return value if definition.values is None else _listed(definition, value)


def _listed(definition: Definition, value: str) -> str:
    """Return the listed value that is meant, in whatever case (contract A6)."""
    for each in definition.values or ():
        if each.casefold() == value.casefold():
            return each
    detail = f"{definition.name} must be one of {', '.join(definition.values or ())}."
    raise Problem(Kind.MALFORMED, detail, pointer="/value")


def _string(text: str) -> str:
    if len(text) > LONGEST_LINE or not re.match(LINE, text):
        raise ValueError(f"one line of at most {LONGEST_LINE} characters")
    return text


def _text(text: str) -> str:
    if len(text) > LONGEST_TEXT or not re.match(LINES, text):
        raise ValueError(f"at most {LONGEST_TEXT} characters, none of them a control character")
    return text


def _color(text: str) -> str:
    if not re.fullmatch(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})", text):
        raise ValueError("a colour as #rrggbb or #rgb")
    digits = text[1:].lower()
    return "#" + (digits if len(digits) == 6 else "".join(2 * digit for digit in digits))


def _email(text: str) -> str:
    address = parse_address(text)
    if address.literal:
        raise ValueError("the domain of the address is an address literal")
    return address.text


def _bool(text: str) -> str:
    word = text.lower()
    if word not in _TRUE + _FALSE:
        raise ValueError("true or false")
    return "true" if word in _TRUE else "false"


def _url(text: str) -> str:
    found = re.fullmatch(r"https?://([^/?#@]+)(?:[/?#][!-~]*)?", _string(text))
    if found is None:
        raise ValueError("an absolute http or https address, percent-encoded, without sign-in data")
    _host(found[1])
    return text


def _doc(text: str) -> str:
    if not text.startswith("data:"):
        address = _url(text)
        if not address.startswith("https:"):
            raise ValueError("a data: address in Base64, or an https address")
        return address
    data = _MEDIA.match(text)
    if data is None:
        raise ValueError("a document inside is written data:TYPE/SUBTYPE;base64,...")
    try:
        document = base64.b64decode(data[1], validate=True)
    except binascii.Error as error:
        raise ValueError("the document is no valid Base64") from error
    if len(document) > LARGEST_DOC:
        raise ValueError(f"a document has at most {LARGEST_DOC} octets")
    return text


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _timezone(text: str) -> str:
    if text not in _zones():
        raise ValueError("a time zone by its name, such as Europe/Paris")
    return text


def _host(text: str) -> str:
    """Return `host` or `host:port`, the host as a name or an address (IPv6 in brackets)."""
    found = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+)(?::([0-9]{1,5}))?", text)
    if found is None or (found[2] and not 0 < int(found[2]) < 65_536):
        raise ValueError("a host's name or address, with or without a port")
    port = f":{int(found[2])}" if found[2] else ""
    if found[1].startswith("["):
        return f"[{ipaddress.IPv6Address(found[1][1:-1])}]{port}"
    try:
        return f"{ipaddress.IPv4Address(found[1])}{port}"
    except ValueError:
        return domain_name(found[1]) + port


def _credentials(text: str) -> str:
    login, colon, password = _string(text).partition(":")
    if not (login and colon and password):
        raise ValueError("a login and a password with a colon between them")
    return text


def _password(text: str) -> str:
    if not text:
        raise ValueError("a password is not empty")
    return _string(text)


_READ: Mapping[OptionType, Callable[[str], str]] = {
    OptionType.STRING: _string,
    OptionType.TEXT: _text,
    OptionType.COLOR: _color,
    OptionType.EMAIL: _email,
    OptionType.BOOL: _bool,
    OptionType.URL: _url,
    OptionType.LIST: _string,  # which ones are allowed stands in the definition
    OptionType.DOC: _doc,
    OptionType.TIMEZONE: _timezone,
    OptionType.HOST: _host,
    OptionType.CREDENTIALS: _credentials,
    OptionType.PASSWORD: _password,
}
