"""Charsets: which of Python's codecs reads what a mail names, as browsers and mail programs take the name.

They take many names that Python lacks, and the older sets of East Asia as the wider ones that grew out of them: mail
that says GB2312 is written in GBK (WHATWG Encoding 4.2; RFC 2046 4.1.2 asks for what is said).
"""

import codecs
from functools import lru_cache

_NOT_TEXT = {"idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "mbcs", "oem"}

_FURTHER = {  # names that Python does not know
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8 utf8mb4",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff",
    "utf-16-be": "unicodefffe",
    "iso8859-1": "iso88591 iso-8859-1-windows-3.1-latin-1",
    "iso8859-2": "iso88592",
    "iso8859-6": "csiso88596e csiso88596i iso-8859-6-e iso-8859-6-i",
    "iso8859-7": "sun_eu_greek",
    "iso8859-8": "csiso88598e csiso88598i iso-8859-8-e iso-8859-8-i logical visual",
    "iso8859-9": "iso-8859-9-windows-latin-5",
    "iso8859-15": "iso885915 csisolatin9",
    "koi8-r": "koi koi8",
    "koi8-u": "koi8-ru",
    "mac-roman": "csmacintosh mac x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "mac-latin2": "x-mac-ce x-mac-centraleurroman",
    "cp874": "dos-874 windows-874",
    "cp1250": "x-cp1250",
    "cp1251": "x-cp1251",
    "cp1252": "x-cp1252 windows1252 ansi x-ansi",
    "cp1255": "x-cp1255",
    "gb18030": "csgb2312 gb_2312 gb_2312-80 x-gbk windows-936",
    "cp950": "cn-big5 x-x-big5 windows-950",
    "euc_jp": "cseucpkdfmtjapanese x-euc-jp",
    "cp932": "windows-31j cswindows31j x-sjis x-ms-cp932",
    "iso2022_jp": "iso-2022-jp-ms cp50220 cp50221 cp50222 csiso2022jp",
    "cp949": "cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601 windows-949 x-windows-949",
    "johab": "x-johab",
    "ascii": "x-ascii iso-646",
}
_BY_NAME = {name: codec for codec, names in _FURTHER.items() for name in names.split()}
_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "cp950",
    "tis-620": "cp874",
    "iso8859-11": "cp874",
}
_OR = {"cp950": "big5hkscs", "euc_jp": "euc_jis_2004"}  # who means either writes the same name
# Registered, or written by honest programs for want of a better name (RFC 1428 3, Pine), and not to be read here.
_UNREAD = frozenset(
    [
        "unknown-8bit",
        "x-unknown",
        "unknown",
        "x-user-defined",
        "viscii",
        "x-viscii",
        "x-viet-tcvn",
        "euc-tw",
        "x-euc-tw",
        "cns11643",
        "iso-2022-cn",
        "iso-2022-cn-ext",
    ]
)
_ASCII = b'<a href="https://a.b/">+AC4- ~{<:~}</a>'  # UTF-7 and HZ read some of it otherwise


@lru_cache(maxsize=512)
def codec(charset: str) -> str | None:
    """Return Python's name of the codec that reads a charset, None where there is none; "" is US-ASCII."""
    name = _bare(charset) or "us-ascii"
    try:
        found = codecs.lookup(_BY_NAME.get(name, name))
    except (LookupError, ValueError):
        return None
    if not getattr(found, "_is_text_encoding", True) or found.name.replace("-", "_") in _NOT_TEXT:
        return None
    return _WIDER.get(found.name, found.name)


def known(charset: str) -> bool:
    """Tell whether anybody knows a charset, be it that its text is not to be read here."""
    return codec(charset) is not None or _bare(charset) in _UNREAD


@lru_cache(maxsize=512)
def turns_ascii(charset: str) -> bool:
    """Tell whether a charset reads other letters where ASCII stands; who does not know it shows those of ASCII."""
    name = codec(charset)
    return name is not None and _ASCII.decode(name, "replace") != _ASCII.decode("ascii")


def fits(raw: bytes, charset: str) -> bool:
    """Tell whether octets are text of a charset that is known, so far as that can be told.

    Characters that are cut in two, as programs do that shorten a text, are let pass among twice as many whole ones. Of
    ISO 2022 only that it has seven bits: programs write characters into it that its tables here lack.
    """
    name = codec(charset)
    if name is None or name in ("ascii", "cp1252") or (raw.isascii() and name in ("utf-8", "iso8859-1")):
        return True
    if name.startswith("iso2022"):
        return raw.isascii()
    return _reads(name, raw) or (name in _OR and _reads(_OR[name], raw))


def _reads(name: str, raw: bytes) -> bool:
    try:
        raw.decode(name)
    except (UnicodeError, ValueError, LookupError):
        return _nearly(name, raw)
    return True


def _nearly(name: str, raw: bytes) -> bool:
    try:
        shown = raw.decode(name, "replace")
    except (UnicodeError, ValueError, LookupError):
        return False
    broken = shown.count("\ufffd")
    return len(shown) - len(shown.encode("ascii", "ignore")) - broken >= 2 * broken


def _bare(charset: str) -> str:
    return charset.strip(" \t\"'").lower()
