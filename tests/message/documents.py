"""Office documents and rare archives for tests, made octet by octet ([MS-CFB], [MS-CAB], [MS-ONESTORE])."""

import struct
from collections.abc import Sequence

SECTOR = 512
NONE, END = 0xFFFFFFFF, 0xFFFFFFFE
SMALLEST = 4096  # shorter streams would stand in a container of their own


def compound(streams: dict[str, bytes]) -> bytes:
    """Return an OLE2 file of streams by path ("Macros/VBA/dir"), each padded to 4,096 octets."""
    names = sorted({path[:at] for path in streams for at, char in enumerate(path) if char == "/"} | set(streams))
    order = ["", *names]
    children = {path: [name for name in names if name.rpartition("/")[0] == path] for path in order}
    bodies, fat, starts = b"", [], {}
    for path, content in streams.items():
        padded = content.ljust(max(SMALLEST, -(-len(content) // SECTOR) * SECTOR), b"\0")
        starts[path] = (len(fat), max(SMALLEST, len(content)))
        count = len(padded) // SECTOR
        fat += [*range(len(fat) + 1, len(fat) + count), END]
        bodies += padded
    directory = b"".join(_record(order, children, starts, path) for path in order)
    directory = directory.ljust(-(-len(directory) // SECTOR) * SECTOR, b"\0")
    first, count = len(fat), len(directory) // SECTOR
    fat += [*range(first + 1, first + count), END]
    place = len(fat)
    fat += [0xFFFFFFFD]
    assert len(fat) <= SECTOR // 4
    table = struct.pack("<128I", *fat, *[NONE] * (128 - len(fat)))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(10)
    head += struct.pack("<IIIIIIII", 1, first, 0, SMALLEST, END, 0, END, 0) + struct.pack("<I", place)
    return head + b"\xff" * (SECTOR - len(head)) + bodies + directory + table


def _record(order: list[str], children: dict[str, list[str]], starts: dict[str, tuple[int, int]], path: str) -> bytes:
    above = path.rpartition("/")[0]
    beside = children[above] if path else []
    behind = beside[beside.index(path) + 1 :] if path else []
    name = (path.rpartition("/")[2] if path else "Root Entry").encode("utf-16-le")
    kind = 5 if not path else 2 if path in starts else 1
    start, size = starts.get(path, (END if not path else 0, 0))
    right = order.index(behind[0]) if behind else NONE
    child = order.index(children[path][0]) if children[path] else NONE
    fixed = struct.pack("<HBBIII", len(name) + 2, kind, 1, NONE, right, child) + bytes(36)
    return name.ljust(64, b"\0") + fixed + struct.pack("<IQ", start, size)


def records(*pairs: tuple[int, bytes]) -> bytes:
    """Return a workbook's stream of (kind, content) records."""
    return b"".join(struct.pack("<HH", kind, len(content)) + content for kind, content in pairs)


def native(label: bytes, content: bytes) -> bytes:
    """Return a packaged file ([MS-OLEDS] 2.3.6)."""
    path = b"C:\\temp\\" + label + b"\0"
    body = b"\x02\0" + label + b"\0" + path + b"\0\0\x03\0" + struct.pack("<I", len(path)) + path
    body += struct.pack("<I", len(content)) + content
    return struct.pack("<I", len(body)) + body


def rtf(kind: bytes, data: bytes) -> bytes:
    """Return an RTF document with one object, its digits broken up as hostile ones are."""
    texts = b"".join(struct.pack("<I", len(text) + 1) + text + b"\0" for text in (kind, b"", b""))
    digits = (struct.pack("<II", 0x501, 2) + texts + struct.pack("<I", len(data)) + data).hex().encode()
    broken = digits[:9] + b"{\\*\\junk 4142}\r\n\\bin0 " + digits[9:30] + b" \\'5a" + digits[30:]
    return b"{\\rtf1 Hello {\\object\\objemb{\\*\\objdata " + broken + b"}}}"


def onenote(*files: bytes, names: Sequence[str] = ()) -> bytes:
    """Return a OneNote page with files, and values in UTF-16 that say their names."""
    texts = [name.encode("utf-16-le") + b"\0\0" for name in names]
    return _onenote(*files) + b"".join(struct.pack("<I", len(text)) + text for text in texts)


def _onenote(*files: bytes) -> bytes:
    head = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3") + bytes(1008)
    mark = bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac")
    return head + b"".join(mark + struct.pack("<Q", len(one)) + bytes(12) + one + bytes(24) for one in files)


def cabinet(name: bytes, content: bytes, method: int = 0) -> bytes:
    folder = struct.pack("<IHH", 36 + 8 + 16 + len(name) + 1, 1, method)
    file = struct.pack("<IIHHHH", len(content), 0, 0, 0, 0, 0x20) + name + b"\0"
    block = struct.pack("<IHH", 0, len(content), len(content)) + content
    size = 36 + len(folder) + len(file) + len(block)
    head = b"MSCF" + struct.pack("<IIIIIBBHHHHH", 0, size, 0, 44, 0, 3, 1, 1, 1, 0, 0, 0)
    return head + folder + file + block
