"""What octets are: media types by libmagic, script types by their extension, container formats by their signatures.

libmagic calls every script text/plain (libraries 15), so that a text with a script's extension is reported as a script.
"""

import contextlib
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from gatepost.message import pdf
from gatepost.message.octets import Octets, octets

if TYPE_CHECKING:
    from magic import Magic

HEAD = 4096
PIECE = "is one piece of a split archive"
MISNAMED = "is called an archive, and is none that is known here"
_ZIP_HEAD = 65_536  # a ZIP's kind shows in the names of its first members
_OCTETS = "application/octet-stream"
_EMPTY = "application/x-empty"
_JSON = "application/json"

_SCRIPTS = {
    "text/javascript": "js mjs jse",
    "text/vbscript": "vbs vbe vb",
    "application/x-powershell": "ps1 psm1 psd1 ps1xml ps2 psc1",
    "application/x-msdos-batch": "bat cmd",
    "application/hta": "hta",
    "application/x-windows-script": "wsf wsh wsc sct",
    "application/x-ms-shortcut": "lnk url pif scf website",
    "application/x-ms-registry": "reg",
    "application/vnd.ms-htmlhelp": "chm",
    "application/x-shellscript": "sh bash zsh ksh csh command",
    "text/x-python": "py pyw",
    "application/x-applescript": "scpt applescript",
    "application/x-ms-settings": (
        "inf settingcontent-ms library-ms search-ms searchconnector-ms appref-ms application rdp theme msc"
    ),
}
_BY_EXTENSION = {extension: media for media, extensions in _SCRIPTS.items() for extension in extensions.split()}

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_INSTALLER = "application/x-msi"
_INSTALLERS = {bytes.fromhex(f"{first}100c0000000000c000000000000046") for first in ("82", "84", "86")}
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"PK\x07\x08", "zip"),
    (0, b"PK00PK", "zip"),
    (0, b"\x1f\x8b", "gzip"),
    (4, b"1AY&SY", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x78\x9f\x3e\x22", "tnef"),
    (257, b"ustar", "tar"),
    (769, b"ustar", "tar"),  # behind a block of zeros, which unpackers pass over
    (0, _OLE, "ole"),
    (0, bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3"), "onenote"),
    (0, b"{\\rt", "rtf"),
    (0, b"MSCF\0\0\0\0", "cab"),
    (0, b"ISc(", "cab"),
    (7, b"**ACE**", "ace"),
    (0, b"\x60\xea", "arj"),
    (0, b"\x1f\x9d", "compress"),
    (0, b"\x1f\xa0", "compress"),
    (0, b"LZIP\x01", "lzip"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (20, b"\xdc\xa7\xc4\xfd", "zoo"),
    (0, b"xar!", "xar"),
    (0, b"MSWIM\0", "wim"),
    (0, b"!<arch>\n", "ar"),
    (0, b"conectix", "vhd"),
    (0, b"vhdxfile", "vhd"),
    (0, b"KDMV", "vmdk"),
    (0, b"\xed\xab\xee\xdb", "rpm"),
    (0, b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (0, b"\x02\x21\x4c\x18", "lz4"),
    (0, b"EGGA", "egg"),
    (0, b"ALZ\x01", "alz"),
    (0, b"hsqs", "squashfs"),
    (0, b"sqsh", "squashfs"),
    (0, b"\x45\x3d\xcd\x28", "cramfs"),
    (0, b"QFI\xfb", "qcow"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"7kSt\xa01\x83\xd3", "zpaq"),
    (0, b"LRZI\0", "lrzip"),
    (0, b"SIT!\0", "sit"),
    (0, b"StuffIt (c)", "sit"),
    (0, b"StuffIt!", "sit"),
    (0, b"SZDD\x88\xf0\x27\x33", "szdd"),
    (0, b"KWAJ\x88\xf0\x27\xd1", "kwaj"),
    (0, b"!BDN", "pst"),
    (0, b"WLPWM\0\0\0", "wim"),
    (0, b"\0\5\x16\0\0", "applesingle"),
    (0, b"\0" + b"\xff" * 10 + b"\0", "raw cd"),
    (0, b"encrcdsa", "dmg"),
    (32, b"NXSB", "apfs"),
    (1024, b"H+\0\4", "hfs"),
    (1024, b"HX\0\5", "hfs"),
)
_MEDIA = {  # of containers that libmagic does not know, or only with more of them than their head
    "onenote": "application/onenote",
    "iso": "application/x-iso9660-image",
    "udf": "application/x-iso9660-image",
    "img": "application/x-raw-disk-image",
    "vhd": "application/x-vhd",
    "vmdk": "application/x-vmdk",
    "dmg": "application/x-apple-diskimage",
    "wim": "application/x-ms-wim",
}
_TOLD = (  # what libmagic calls octets or text, by how it begins
    (bytes.fromhex("4c0000000114020000000000c000000000000046"), "application/x-ms-shortcut"),
    (b"[InternetShortcut]", "application/x-ms-shortcut"),
    (b"ITSF\3\0\0\0", "application/vnd.ms-htmlhelp"),
)
_PDF = re.compile(rb"%PDF-(?<![^\0\s]%PDF-)[0-9]")  # among the first octets, as its readers take it
PDF_AT = 1024
_DISC_AT = 32_769  # the first volume descriptor of an optical disc
_DISC_SECTORS = 64  # in which others may stand
_DISCS = {b"CD001": "iso"} | dict.fromkeys((b"BEA01", b"BOOT2", b"CDW02", b"NSR02", b"NSR03", b"TEA01"), "udf")
_ANCHOR = slice(524_288, 524_304)  # where UDF has a tag that says where all else is (ECMA-167 3/7.2, 3/8.4.2.1)
_FOOTERS = {b"conectix": "vhd", b"koly\0\0\0\x04": "dmg"}  # of disc images, in their last 512 octets
_ZIP_END = octets(rb"PK\x05\x06")
_DECOYS = 500
_BURIED_MAX = 4_194_304  # how deep unpackers look for the beginning
_SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18....", re.DOTALL)  # a frame of Zstandard or lz4 that holds nothing
_SKIPPED_MAX = 1000
# A superblock of Linux' file systems: its magic, and small numbers around it.
_EXT = re.compile(rb"\x53\xef[\1-\7]\0[\1-\3]\0.{14}[\0\1]\0\0\0", re.DOTALL)
_EXT_AT = 1080
# Kinds whose members may be archives as they stand, which would be found a second time.
_STORING = frozenset({"zip", "tar", "iso", "udf", "cpio", "ar", "ole", "onenote", "tnef"})
_SEARCHED = {"zip": "zip", "rar": "rar", "7z": "7z"}  # by whose programs octets are searched for an archive
_PATTERNS = (
    (re.compile(rb"..-(?:l[hz][0-9sdx]|pm[0-2s])-", re.DOTALL), "lha"),
    (re.compile(rb"0707(?:07[0-7]{70}|0[12][0-9a-fA-F]{104})"), "cpio"),
    (re.compile(rb"(?:\xc7\x71.{18}.[\0-\3]|\x71\xc7.{18}[\0-\3].).{4}[!-~]", re.DOTALL), "cpio"),
    (re.compile(rb"[\s\0]{1,64}+\{\\rt"), "rtf"),
    (re.compile(rb"BZh[1-9]\x17rE8P\x90"), "bzip2"),  # an empty one
    (re.compile(rb"[\x22-\x27]\xb5\x2f\xfd"), "zstd"),  # of older versions
    (re.compile(rb"\x5d\0\0..(?:\xff{8}|.{5}\0\0\0)", re.DOTALL), "lzma"),
)
_PIECE = re.compile(
    r"\.part0*[0-9]+\.(?:rar|exe)\Z|\.[rz][0-9]{2}\Z"
    r"|\.(?:7z|zipx?|rar|tar|t?gz|t?bz2?|t?xz|zst|cab|iso|exe)\.[0-9]{2,4}\Z",
    re.IGNORECASE,
)
_ARCHIVE_NAMES = (
    "7z ace arj bz2 cab cpio deb dmg gz iso jar lha lz lzh lzma rar rpm tar tbz tbz2 tgz txz tzst vhd vhdx vmdk wim xar"
    " xz zip zipx zst"
)
_ARCHIVES = frozenset(_ARCHIVE_NAMES.split())
_TAR_SUM = slice(148, 156)
_ZEROS = re.compile(rb"\0*+\Z")  # nothing, or a tar without entries

_local = threading.local()


def media_type(content: bytes, names: Iterable[str] = ()) -> str:
    """Return the media type of octets; `names` turn a text into the script that its extension says it is."""
    if _ZEROS.match(content):
        return _EMPTY
    if content.startswith(_OLE) and _is_installer(content):
        return _INSTALLER
    found = _libmagic(content)
    if found.startswith("text/") or found == _OCTETS:
        told = next((media for signature, media in _TOLD if content.startswith(signature)), "")
        return told or _MEDIA.get(_begun(content)) or script_type(names) or found
    return found


def _is_installer(content: bytes) -> bool:
    """Tell a package, transform or patch of Windows Installer by the class of its root ([MS-CFB] 2.6.1).

    It may stand far behind what libmagic looks at.
    """
    sector = min(int.from_bytes(content[30:32], "little"), 12)
    root = (int.from_bytes(content[48:52], "little") + 1) << sector
    return content[root + 80 : root + 96] in _INSTALLERS


def script_type(names: Iterable[str]) -> str:
    """Return the media type of a script by its extension, "" if none of the names is a script's."""
    for name in names:
        media = _BY_EXTENSION.get(name.rpartition(".")[2].lower())
        if media and "." in name:
            return media
    return ""


def _libmagic(content: bytes) -> str:
    return _asked(content[:_ZIP_HEAD]) if content.startswith(b"PK") else _known(content[:HEAD])


def _asked(head: bytes) -> str:
    magic = _magic()
    try:
        return magic.from_buffer(head) or _OCTETS
    except (_local.problem, UnicodeError):
        return _OCTETS


_known = lru_cache(maxsize=256)(_asked)  # the same logos and leaflets come with many mails


def _magic() -> "Magic":
    """Return this thread's handle; libmagic's are not to be shared (libraries 6)."""
    found: Magic | None = getattr(_local, "magic", None)
    if found is None:
        found = _local.magic = _open()
    return found


def _open() -> "Magic":
    with contextlib.suppress(ImportError):  # else the system's
        import pylibmagic  # noqa: F401  # makes `magic` find the library and the data of the wheel
    import magic

    _local.problem = magic.MagicException
    return magic.Magic(mime=True)


def is_piece(names: Iterable[str]) -> bool:
    """Tell whether a file is, by its name, one piece of an archive that is split over several (threat 59)."""
    return any(_PIECE.search(name) for name in names)


def is_pdf(content: bytes) -> bool:
    """Tell whether programs open octets as PDF, be it that some others stand before its mark."""
    return content.startswith(b"%PDF-") or _PDF.search(content, 0, PDF_AT) is not None


def container(content: bytes) -> str:
    """Return the kind of container that octets are first of all ("zip", "rar", "cab" ...), "" for none."""
    return next(iter(containers(content)), "")


def containers(content: bytes, name: str = "") -> tuple[str, ...]:
    """Return every kind of container that octets may be opened as; the one that they begin as first.

    Archives with something in front of them (self-extracting programs, joined files) count too (threat 57): in what
    stores other files as they stand only where `name` says so, as the program is chosen by it. So do those whose mark
    stands elsewhere than at the beginning, where another's may stand.
    """
    kinds = tuple(dict.fromkeys(_marked(content)))
    first = kinds[0] if kinds else ""
    if first in _STORING and _SEARCHED.get(name.rpartition(".")[2].lower(), first) == first:
        return kinds
    return tuple(dict.fromkeys((*kinds, *_behind(content))))


def is_misnamed(names: Iterable[str], media: str) -> bool:
    """Tell whether a file that is no container is called an archive: some program may open it even so.

    `media` is its type; a text holds nothing packed, and what is empty nothing.
    """
    if media.startswith("text/") or media in (_EMPTY, _JSON):
        return False
    return any(name.rpartition(".")[2].lower() in _ARCHIVES for name in names if "." in name)


def _begun(content: bytes) -> str:
    return next(_marked(content), "")


def _marked(content: bytes) -> Iterator[str]:
    """Yield the kinds of container whose marks stand where they should."""
    for at, signature, kind in _SIGNATURES:
        if content.startswith(signature, at) and (kind != "arj" or len(content) >= 40):
            yield kind
    for pattern, kind in _PATTERNS:
        if pattern.match(content):
            yield kind
    if _SKIPPED.match(content):
        yield _behind_skipped(content)
    if is_pdf(content) and pdf.CARRIES.search(content):
        yield "pdf"
    if content[_DISC_AT : _DISC_AT + 5] in _DISCS:
        yield from _file_systems(content)
    if footer := _FOOTERS.get(content[-512:-504]):
        yield footer
    if _is_anchor(content[_ANCHOR]):
        yield "udf"
    if _old_tar(content):
        yield "tar"
    if _is_image(content):
        yield "img"


def _behind_skipped(content: bytes) -> str:
    """Return what stands behind frames that unpackers skip."""
    at = 0
    for _ in range(_SKIPPED_MAX):
        if _SKIPPED.match(content, at) is None:
            break
        at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
    return "lz4" if content.startswith((b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"), at) else "zstd"


def _file_systems(content: bytes) -> Iterator[str]:
    """Yield those of an optical disc, which may have both, as its descriptors tell."""
    for at in range(_DISC_AT, _DISC_AT + _DISC_SECTORS * 2048, 2048):
        if disc := _DISCS.get(content[at : at + 5]):
            yield disc


def _is_anchor(tag: bytes) -> bool:
    """Tell an anchor of UDF by its number and its checksum."""
    return len(tag) == 16 and tag[:2] == b"\2\0" and (sum(tag[:4]) + sum(tag[5:])) & 255 == tag[4]


def _is_image(content: bytes) -> bool:
    """Tell a disc image by its first sectors: a FAT, NTFS or Linux volume, or a disc with a GUID partition table."""
    if content[510:512] == b"\x55\xaa":
        if content[54:57] == b"FAT" or content[82:85] == b"FAT" or content[3:11] in (b"NTFS    ", b"EXFAT   "):
            return True
        if content[512:520] == b"EFI PART":
            return True
    return _EXT.match(content, _EXT_AT) is not None


def _old_tar(content: bytes) -> bool:
    """Tell a tar without magic by its first header's checksum."""
    header = content[:512]
    if len(header) < 512 or not header[0]:
        return False
    digits = header[_TAR_SUM].strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        return False
    return int(digits, 8) == sum(header) - sum(header[_TAR_SUM]) + 8 * 32


def _behind(content: bytes) -> Iterator[str]:
    """Find archives behind other octets. A signature alone is none: programs that read archives hold those, too."""
    if _found(content, _ZIP_END, max(0, len(content) - 65_557), len(content), _ends_zip):
        yield "zip"
    for signature, (kind, begins) in _BURIED.items():
        if _found(content, signature, 0, _BURIED_MAX, begins):
            yield kind


def _found(content: bytes, signature: Octets, start: int, end: int, true: Callable[[bytes, int], bool]) -> bool:
    """Tell whether a signature stands where it is a true one; so many false ones as nobody needs count as one."""
    decoys = 0
    for match in islice(signature.finditer(content, start, end), _DECOYS):
        if true(content, match.start()):
            return True
        decoys += 1
    return decoys == _DECOYS


def _ends_zip(content: bytes, at: int) -> bool:
    """Tell whether a directory stands where an end record says, counted from it or from the beginning."""
    size, offset = (int.from_bytes(content[at + field : at + field + 4], "little") for field in (12, 16))
    large = content[max(0, at - 20) : at].startswith(b"PK\x06\x07")  # its size stands elsewhere (ZIP64)
    return large or any(content.startswith(b"PK\x01\x02", place) for place in (max(0, at - size), offset))


def _begins_rar(content: bytes, at: int) -> bool:
    """Tell whether a main header follows the signature: by its type (RAR 4), or by its checksum (RAR 5)."""
    header = content[at : at + 160]
    if len(header) < 20:
        return False
    if header[6] == 0:
        return header[9] in (0x72, 0x73)
    size = header[12]  # always small
    return zlib.crc32(header[12 : 13 + size]) == int.from_bytes(header[8:12], "little")


def _begins_7z(content: bytes, at: int) -> bool:
    return zlib.crc32(content[at + 12 : at + 32]) == int.from_bytes(content[at + 8 : at + 12], "little")


_BURIED = {
    octets(rb"Rar!\x1a\x07"): ("rar", _begins_rar),
    octets(rb"7z\xbc\xaf\x27\x1c"): ("7z", _begins_7z),
}
