"""Signs in attached files: programs, disguises, web pages that ask for a password."""

import re
from collections.abc import Iterable, Iterator

from gatepost.filters.signs.facts import Facts, Sign
from gatepost.message.anatomy import Kind, Part

LOOKED_AT = 100  # files
MEMBERS = 500  # of one archive
NAME_MAX = 255
FEW = 60  # characters of a text beside a file
_PROGRAM = re.compile(
    r"\.(?:exe|scr|pif|com|bat|cmd|vbs|vbe|jse?|wsf|wsh|hta|ps1|msi|msp|cpl|jar|lnk|reg|scf|inf|chm|appx?|msix"
    r"|application|gadget|xll|iqy|one|library-ms|search-ms|settingcontent-ms)\Z",
    re.IGNORECASE,
)
_DOUBLE = re.compile(
    r"\.(?:pdf|docx?|xlsx?|pptx?|txt|rtf|jpe?g|png|gif|mp[34]|zip|csv|html?)[\s._-]*\.(?:exe|scr|pif|com|bat|cmd|vbs|vbe|jse?"
    r"|wsf|hta|ps1|msi|cpl|jar|lnk|html?|iso|img)\Z|\u202e",
    re.IGNORECASE,
)
_PAGE = re.compile(r"\.(?:html?|xhtml|shtml|svg|mht|mhtml)\Z", re.IGNORECASE)
_DISK = re.compile(r"\.(?:iso|img|vhdx?|udf|dmg)\Z", re.IGNORECASE)
_ODD_ARCHIVE = re.compile(r"\.(?:r\d\d|z|ace|arj|lzh|lha|cab|uue?|xxe|tar\.?lz|lz|bz2?|001|wim)\Z", re.IGNORECASE)
_PROGRAM_TYPES = ("application/x-dosexec", "application/x-executable", "application/vnd.microsoft.portable-executable")
_TELLS_PASSWORD = re.compile(
    r"(?i)\b(?:pass(?:word|code|wort)|pwd|mot de passe|kennwort|contraseña|parola d.ordine|senha|пароль|hasło"
    r"|wachtwoord)\b"
    r"|密码|パスワード"
)
_ACTIVE = re.compile(rb"(?i)<script|<form|<input|http-equiv=.?refresh|onload=|eval\(|atob\(|unescape\(|type=.?password")


def files(facts: Facts) -> Iterator[Sign]:
    attached = [part for part in facts.anatomy.parts if part.attachment or (part.names and not part.container)]
    if not attached:
        return
    for part in attached[:LOOKED_AT]:
        yield from _part(part)
    if any(part.encrypted for part in attached) and _TELLS_PASSWORD.search(facts.prose.text):
        yield "FILE_PASSWORD_TOLD", ""
    if len(facts.prose.text.strip()) < FEW and not facts.answers and not all(part.body for part in attached):
        yield "FILE_ALONE", ""


def _part(part: Part) -> Iterator[Sign]:
    names = [name[-NAME_MAX:] for name in part.names]
    if found := _named(_DOUBLE, names):
        yield "FILE_NAME_DOUBLE", found
    if found := _named(_PROGRAM, names):
        yield "FILE_PROGRAM", found
    elif part.sniffed in _PROGRAM_TYPES:
        yield "FILE_TYPE_OTHER", part.shown or part.sniffed
    if part.macros or any(member.macros for member in part.members):
        yield "FILE_MACROS", part.shown
    if found := _named(_DISK, names):
        yield "FILE_IMAGE_OF_DISK", found
    if found := _named(_ODD_ARCHIVE, names):
        yield "FILE_ARCHIVE_ODD", found
    found = _named(_PAGE, names)
    if not part.body and (found or (part.attachment and "text/html" in part.types)):
        yield "FILE_HTML", found
        if _ACTIVE.search((part.text or part.head).replace(b"\0", b"")):  # as UTF-16 has it, too
            yield "FILE_HTML_SCRIPT", found
    members = [member for member in part.members[:MEMBERS] if member.kind is Kind.FILE]
    if packed := next((member for member in members if _named(_PROGRAM, member.names)), None):
        yield "FILE_PROGRAM_PACKED", packed.path
    if packed := next((member for member in members if _named(_DOUBLE, member.names)), None):
        yield "FILE_NAME_DOUBLE", packed.path


def _named(kind: re.Pattern[str], names: Iterable[str]) -> str:
    return next(filter(kind.search, names), "")
