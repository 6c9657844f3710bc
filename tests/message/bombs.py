"""Mails that want to use up memory or time, made here: archives that explode, and structures without end."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import partial

import py7zr
import zstandard
from tests.message.mails import (
    EXE,
    HEADER,
    attachment,
    directory_record,
    end_record,
    in_base64,
    local_record,
    mail,
    multipart,
    tnef,
    tnef_properties,
    zipped,
)

MB = 1_000_000
BIG = 400


# --- archives --------------------------------------------------------------------------------------------------------


def zeros(compress: Callable[[bytes], bytes]) -> bytes:
    """Return many joined streams (or frames) that unpack to 4 GB of zeros."""
    return compress(bytes(10 * MB)) * BIG


def flat() -> bytes:
    return zipped({"zeros.txt": bytes(150 * MB), "evil.exe": EXE})


def nested() -> bytes:
    """Return archives of 16 archives of 16 archives, as 42.zip is."""
    content = zipped({"0.txt": bytes(40 * MB)})
    for level in range(4):
        content = zipped({f"{level}-{number}.zip": content for number in range(16)})
    return content


def many_small() -> bytes:
    """Return 4,000 archives in one, each within the ratio and of 1 MB."""
    small = zipped({"zeros": bytes(1_048_000)})
    return zipped({f"{number}.zip": small for number in range(4000)}, zipfile.ZIP_STORED)


def overlapping() -> bytes:
    """Return entries that all unpack the same octets."""
    kernel = local_record(b"x", b"", method=8, raw=zlib.compress(bytes(20 * MB), 9)[2:-4])
    entries = b"".join(directory_record(b"x%05d" % n, bytes(len(kernel) - 31), 0, method=8) for n in range(20_000))
    return kernel + entries + end_record(20_000, len(entries), len(kernel))


def crowded() -> bytes:
    """Return a tar of 15,000 empty files, packed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(15_000):
            archive.addfile(tarfile.TarInfo(f"{number}.exe"))
    return gzip.compress(out.getvalue(), 1)


def sparse() -> bytes:
    """Return a tar of an old GNU sparse file: 500 octets that claim to be 8 GB."""
    info = tarfile.TarInfo("sparse.bin")
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (8 * 1024**3 - 1, 1)
    header[483:495] = b"%011o\0" % (8 * 1024**3)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def solid() -> bytes:
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w", filters=[{"id": py7zr.FILTER_LZMA2, "preset": 1}]) as archive:
        archive.writestr(bytes(150 * MB), "zeros.txt")
        archive.writestr(EXE, "evil.exe")
    return out.getvalue()


def claims(count: int) -> bytes:
    """Return a 7z whose header claims `count` files (7zFormat.txt)."""
    number = b"\xff" + count.to_bytes(8, "little")
    header = b"\x01\x05" + number + b"\0\0"
    start = bytes(8) + len(header).to_bytes(8, "little") + zlib.crc32(header).to_bytes(4, "little")
    return b"7z\xbc\xaf\x27\x1c\0\x04" + zlib.crc32(start).to_bytes(4, "little") + start + header


def slow() -> bytes:
    """Return 4,900 small archives that take milliseconds each."""
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as archive:
        archive.writestr(EXE, "evil.exe")
    return zipped({f"{number}.7z": out.getvalue() for number in range(4900)}, zipfile.ZIP_STORED)


def quine() -> bytes:
    """Return a gzip file that unpacks to itself (research.swtch.com/zip): print and repeat, and its own checksum."""
    for stamp in range(256):
        head = b"\x1f\x8b\x08\x08" + bytes([stamp]) + b"\0\0\0\0\xffq\0"
        if (found := _quine(head)) is not None:
            return found
    raise AssertionError("no checksum fits")


def _quine(head: bytes) -> bytes | None:
    def with_sum(crc: int) -> bytes:
        return _program(head, crc.to_bytes(4, "little") + len(_program(head, bytes(8))).to_bytes(4, "little"))

    none = zlib.crc32(with_sum(0))
    rows = [(zlib.crc32(with_sum(1 << bit)) ^ none ^ (1 << bit), 1 << bit) for bit in range(32)]
    wanted, crc = none, 0
    for place in reversed(range(32)):  # the checksum of the whole is linear in the checksum that stands in it
        pivot = next((row for row in rows if row[0] >> place == 1), None)
        if pivot is not None:
            rows.remove(pivot)
            rows = [(row[0] ^ pivot[0], row[1] ^ pivot[1]) if row[0] >> place & 1 else row for row in rows]
            if wanted >> place & 1:
                wanted, crc = wanted ^ pivot[0], crc ^ pivot[1]
    return with_sum(crc) if wanted == 0 else None


def _program(head: bytes, tail: bytes) -> bytes:
    start, end = len(head) + 5, len(tail) + 5
    first, repeat, last = _repeat(start), _repeat(20), _repeat(end, final=True)
    return b"".join(
        [
            *(head, _print(start), head, _print(start), first, _print(5), first, _print(5), _print(5)),
            *(_print(20), first, _print(5), _print(5), _print(20), repeat),
            *(_print(20), repeat, _print(20), repeat, _print(20), repeat),
            *(_print(20), repeat, _print(0), _print(0), _print(end), repeat),
            *(_print(0), _print(0), _print(end), last, tail, last, tail),
        ]
    )


def _print(octets: int) -> bytes:
    """A stored block's header (RFC 1951 3.2.4)."""
    return b"\0" + octets.to_bytes(2, "little") + (octets ^ 0xFFFF).to_bytes(2, "little")


def _repeat(octets: int, *, final: bool = False) -> bytes:
    """A block that repeats the last octets, in two copies and five octets (RFC 1951 3.2.5, 3.2.6)."""
    distance = next(row for row in ((13, 7, 2), (17, 8, 3), (25, 9, 3)) if row[0] <= octets < row[0] + (1 << row[2]))
    code = f"{distance[1]:05b}"
    extra = f"{octets - distance[0]:0{distance[2]}b}"[::-1]
    bits = ("1" if final else "0") + "10"
    for length in (octets // 2, octets - octets // 2):
        bits += f"{length - 2:07b}" + code + extra
    bits = bits.ljust(40, "0")
    assert len(bits) == 40
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, 40, 8))


def values(number: int, told: bytes, *, attached: bool) -> bytes:
    """Return a winmail.dat with some megabytes of values of one property."""
    count = 15_000_000 // (4 + len(told))
    each = (b"%07d\0" % at if told == NAME else told for at in range(count))
    said = b"".join(len(value).to_bytes(4, "little") + value for value in each)
    many = tnef_properties((number, 0x101E, count.to_bytes(4, "little") + said), attached=attached)
    return tnef(b"a.txt", b"x", many)


def rich() -> bytes:
    """Return 260 KB of compressed RTF that unpack to two megabytes: each run of 17 octets begins 4 octets before it."""
    packed, at = bytearray(b"\0{\\rtaaaa"), 215
    while len(packed) < 260_000:
        packed += b"\xff" + b"".join(((at + 17 * run - 4) % 4096 << 4 | 15).to_bytes(2, "big") for run in range(8))
        at += 17 * 8
    return bytes(8) + b"LZFu" + bytes(4) + bytes(packed) + bytes(-len(packed) % 4)


NAME = bytes(8)  # which is numbered


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "names.dat": partial(values, 0x3707, NAME, attached=True),
    "texts.dat": lambda: values(0x1009, rich(), attached=False),
    "flat.zip": flat,
    "nested.zip": nested,
    "small.zip": many_small,
    "overlapping.zip": overlapping,
    "zeros.gz": partial(zeros, gzip.compress),
    "zeros.bz2": partial(zeros, bz2.compress),
    "zeros.xz": partial(zeros, partial(lzma.compress, preset=1)),
    "zeros.zst": partial(zeros, zstandard.compress),
    "crowded.tgz": crowded,
    "sparse.tar": sparse,
    "solid.7z": solid,
    "claims.7z": partial(claims, 2**31),
    "quine.gz": quine,
}


# --- mails -----------------------------------------------------------------------------------------------------------


def chain(depth: int) -> bytes:
    """Return multiparts in multiparts, with half a megabyte of text in front of each."""
    body = b"\r\nHello"
    for level in range(depth):
        body = multipart(b"\r\n" + b"--x\r\n" * 20_000, body, boundary=b"b%d" % level)
    return mail(body)


def russian(depth: int) -> bytes:
    return (HEADER + b"Content-Type: message/rfc822\r\n\r\n") * depth + b"x"


def alike() -> bytes:
    """Return boundaries that all begin alike, each a little longer."""
    parts = b"".join(b"--" + b"a" * length + b"\r\n\r\nx\r\n" for length in range(1, 2000))
    return mail(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + parts * 8)


def uuencoded() -> bytes:
    """Return files in a text, in files, in a text."""
    body = b"x" * 40
    for level in range(60):
        lines = b"".join(b"M" + b"!" * 60 + b"\r\n" for _ in range(4000))
        body = b"begin 644 f%d.txt\r\n" % level + lines + b"end\r\n" + body
    return HEADER + b"\r\n" + body + b"begin 644 x\r\n" * 200_000


def pdf() -> bytes:
    stream = zlib.compress(b"/URI (http://a.example/" + b"a" * MB)
    return mail(attachment(b"a.pdf", b"%PDF-1.4\n" + (b"stream\n" + stream + b"\nendstream\n") * 4000))


def markup() -> bytes:
    return HEADER + b"Content-Type: text/html\r\n\r\n" + b"<a href=http://x.example/><b>" * 1_500_000


def names() -> bytes:
    value = b"attachment" + b"".join(b"; filename*%d*=%%41" % n for n in range(50_000))
    return HEADER + b"Content-Disposition: " + value + b"\r\n\r\nx"


def words() -> bytes:
    return HEADER + b"Subject:" + b" =?utf-8?q?a?=\r\n" * 6000 + b"Comments: " + b"(" * 90_000 + b"\r\n\r\nx"


def formatting() -> bytes:
    """Return a page that leaves formatting open, which each paragraph opens anew: 95,000 elements of 9 kB."""
    opened = b"".join(b"<b a%d href=//a.example/>" % each for each in range(50))
    return mail(b"Content-Type: text/html\r\n\r\n<p>" + opened + b"<p>x" * 1900)


def hidden_ends() -> bytes:
    """Return a page of 13,000 elements within each other, whose ends seem to stand there."""
    return mail(b"Content-Type: text/html\r\n\r\n" + b'<div title="</div>">' * 13_000)


def crowd() -> bytes:
    return mail(multipart(*[b"\r\nx"] * 100_000))


def crowd_of_files() -> bytes:
    small = attachment(b"a.zip", zipped({"a.exe": EXE}))
    return mail(multipart(*[small] * 3_000))


def base64s() -> bytes:
    """Return base64 within base64, twelve times."""
    body = b"x" * 4000
    for _ in range(12):
        body = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + in_base64(HEADER + body)
    return HEADER + body


MAILS: dict[str, Callable[[], bytes]] = {
    "chain": partial(chain, 99),
    "deep chain": partial(chain, 200),
    "russian dolls": partial(russian, 100_000),
    "boundaries alike": alike,
    "uuencoded": uuencoded,
    "pdf": pdf,
    "markup": markup,
    "formatting": formatting,
    "hidden ends": hidden_ends,
    "names": names,
    "words": words,
    "crowd": crowd,
    "crowd of files": crowd_of_files,
    "base64 in base64": base64s,
}
