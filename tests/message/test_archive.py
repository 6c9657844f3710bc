"""Archives: names, contents, and what could not be opened (threats 55-59)."""

import base64
import bz2
import gzip
import io
import itertools
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

import pytest
import zstandard
from tests.message.documents import compound
from tests.message.mails import (
    EXE,
    attachment,
    directory_record,
    end_record,
    holding,
    local_record,
    mail,
    multipart,
    rar5,
    sevenzipped,
    take_apart,
    tarred,
    tnef,
    zipped,
)

from gatepost.message import foreign, worker
from gatepost.message.anatomy import Kind, Part
from gatepost.message.archive import Unpacker
from gatepost.message.parse import dissect
from gatepost.settings import Limits


def problems(name: str, content: bytes) -> tuple[str, ...]:
    return take_apart(mail(attachment(name.encode(), content))).unscannable


def paths(part: Part) -> list[str]:
    return [member.path for member in part.members]


FILES = {"run.exe": EXE, "docs/read.txt": b"hello"}
SEVENZIPPED = sevenzipped(FILES)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", zipped(FILES)),
        ("a.zip", zipped(FILES, zipfile.ZIP_STORED)),
        ("a.zip", zipped(FILES, zipfile.ZIP_BZIP2)),
        ("a.zip", zipped(FILES, zipfile.ZIP_LZMA)),
        ("a.tar", tarred(FILES)),
        ("a.tar", bytes(512) + tarred(FILES)),
        ("a.tgz", gzip.compress(tarred(FILES))),
        ("a.tar.bz2", bz2.compress(tarred(FILES))),
        ("a.tar.xz", lzma.compress(tarred(FILES))),
        ("a.tar.lzma", lzma.compress(tarred(FILES), lzma.FORMAT_ALONE)),
        ("a.tar.zst", zstandard.compress(tarred(FILES))),
        ("a.tar.xz", lzma.compress(b"") + bytes(4) + lzma.compress(tarred(FILES))),
        ("a.tar.zst", b"\x50\x2a\x4d\x18\4\0\0\0skip" + zstandard.compress(tarred(FILES))),
        ("a.7z", SEVENZIPPED),
    ],
    ids=[
        "zip",
        "stored",
        "zip bzip2",
        "zip lzma",
        "tar",
        "tar 0",
        "tgz",
        "tar.bz2",
        "tar.xz",
        "tar.lzma",
        "tar.zst",
        "padded xz",
        "skipped zst",
        "7z",
    ],
)
def test_members_have_names_types_sums_and_heads(name: str, content: bytes) -> None:
    part = holding(name, content)
    assert paths(part) == ["run.exe", "docs/read.txt"]
    program, text = part.members
    assert (program.type, program.size, program.head, program.read) == (
        "application/x-dosexec",
        len(EXE),
        EXE[:512],
        True,
    )
    assert len(program.sha256) == 64
    assert text.names == ("docs/read.txt", "read.txt")


@pytest.mark.parametrize(
    ("content", "name"),
    [(gzip.compress(EXE), "evil.exe"), (bz2.compress(EXE), "evil.exe"), (lzma.compress(EXE), "evil.exe")],
    ids=["gz", "bz2", "xz"],
)
def test_a_single_packed_file_is_named_after_its_archive(content: bytes, name: str) -> None:
    part = holding("evil.exe.gz", content)
    assert (part.members[0].names, part.members[0].type) == ((name,), "application/x-dosexec")


def test_a_gzip_s_own_name_counts_too_and_joined_streams_are_one() -> None:
    out = io.BytesIO()
    with gzip.GzipFile("evil.exe", "wb", fileobj=out) as file:
        file.write(EXE)
    part = holding("holiday.gz", out.getvalue() + gzip.compress(b"more"))
    assert {"evil.exe", "holiday"} <= set(part.members[0].names)
    assert part.members[0].size == len(EXE) + 4


def test_archives_in_archives_are_opened() -> None:
    part = holding("a.zip", zipped({"b.tgz": gzip.compress(tarred({"c.7z": SEVENZIPPED}))}))
    assert paths(part)[-2:] == ["b.tgz > c.7z > run.exe", "b.tgz > c.7z > docs/read.txt"]
    assert part.members[-1].depth == 4 - 1


def test_an_office_document_shows_its_members() -> None:
    document = zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>", "word/vbaProject.bin": b"x"})
    part = holding("a.docx", document)
    assert "word/vbaProject.bin" in paths(part)
    assert "wordprocessingml" in part.sniffed


# --- threat 55: bombs ------------------------------------------------------------------------------------------------


def test_threat_55_a_bomb_is_stopped_by_its_ratio_and_its_names_are_kept() -> None:
    part = holding("a.zip", zipped({"big.txt": bytes(6_000_000), "evil.exe": EXE}))
    assert paths(part) == ["big.txt", "evil.exe"]
    assert [member.read for member in part.members] == [False, False]
    assert problems("a.zip", zipped({"big.txt": bytes(6_000_000)})) == (
        "a.zip: big.txt: expands to more than 200 times its size",
    )


ZEROS = bytes(2_000_000)


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.gz", gzip.compress),
        ("a.bz2", bz2.compress),
        ("a.xz", lzma.compress),
        ("a.zst", zstandard.compress),
        ("a.tar.gz", lambda content: gzip.compress(tarred({"x": content}))),
        ("a.7z", lambda content: sevenzipped({"x": content})),
    ],
    ids=["gz", "bz2", "xz", "zst", "tgz", "7z"],
)
def test_threat_55_every_kind_of_bomb_is_stopped(name: str, pack: Callable[[bytes], bytes]) -> None:
    assert any("expands to more than 200 times its size" in text for text in problems(name, pack(ZEROS)))


def test_threat_55_small_files_of_one_letter_are_no_bombs() -> None:
    assert problems("a.zip", zipped({"zeros.bin": bytes(900_000)})) == ()


def test_threat_55_all_archives_of_a_mail_share_the_limits() -> None:
    def opened(limits: Limits, *contents: bytes) -> tuple[str, ...]:
        parts = multipart(*(attachment(b"a.zip", content) for content in contents))
        return dissect(mail(parts), limits, unpack=Unpacker(limits)).unscannable

    two = zipped({"x": bytes(range(250)) * 200}, zipfile.ZIP_STORED)
    assert opened(Limits(archive_bytes=120_000), two, two) == ()
    told = opened(Limits(archive_bytes=120_000), two, two, two)
    assert told == ("a.zip: x: the mail's archives unpack to more than 120000 octets",)
    many = zipped({str(number): b"" for number in range(60)})
    assert opened(Limits(archive_entries=120), many, many) == ()
    assert opened(Limits(archive_entries=119), many, many) == ("a.zip: the mail's archives have more than 119 entries",)


@pytest.mark.parametrize(("name", "packed"), [(b"AHx", b"41" * 3000 + b">"), (b"A85", base64.a85encode(b"A" * 3000))])
def test_threat_55_what_filters_of_a_pdf_undo_counts(name: bytes, packed: bytes) -> None:
    stream = b"%PDF-1.7\n1 0 obj <</Type/EmbeddedFile /Filter/" + name + b">>\nstream\n" + packed + b"~>\nendstream"
    limits = Limits(archive_bytes=2000)
    found = dissect(mail(attachment(b"a.pdf", stream)), limits, unpack=Unpacker(limits))
    assert found.unscannable == ("a.pdf: the mail's archives unpack to more than 2000 octets",)


def test_threat_55_archives_deeper_than_five_are_told() -> None:
    content = zipped({"evil.exe": EXE})
    for _ in range(4):
        content = zipped({"in.zip": content})
    assert problems("a.zip", content) == ()
    assert problems("a.zip", zipped({"in.zip": content})) == ("a.zip: archives are nested more than 5 deep",)


def test_threat_55_entries_that_overlap_count_each_time() -> None:
    kernel = local_record(b"x", bytes(0), method=8, raw=gzip.compress(bytes(900_000))[10:-8])
    entries = b"".join(directory_record(b"x%d" % n, bytes(len(kernel) - 31), 0, method=8) for n in range(900))
    content = kernel + entries + end_record(900, len(entries), len(kernel))
    assert any("expands to more than 200 times" in text for text in problems("a.zip", content))


def test_threat_55_opening_ends_when_the_time_is_over() -> None:
    unpacker = Unpacker(Limits(), timer=lambda: 5.0)
    assert unpacker(zipped({"x": b"y"}), "a.zip", 4.0).problems == ("opening took too long",)


# --- threat 56: encrypted --------------------------------------------------------------------------------------------


def test_threat_56_encrypted_members_are_named_but_not_read() -> None:
    content = bytearray(zipped({"evil.exe": EXE}))
    content[6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    for name, archive in {"a.zip": bytes(content), "a.7z": sevenzipped({"evil.exe": EXE}, password="x")}.items():
        found = take_apart(mail(attachment(name.encode(), archive)))
        member = found.parts[0].members[0]
        assert (member.names, member.encrypted, member.read, member.sha256) == (("evil.exe",), True, False, "")
        assert (found.encrypted, found.unscannable) == (True, ())


def test_threat_56_hidden_names_are_unscannable() -> None:
    content = sevenzipped({"evil.exe": EXE}, password="x", header_encryption=True)
    found = take_apart(mail(attachment(b"a.7z", content)))
    assert (found.encrypted, found.unscannable) == (True, ("a.7z: the names in it are encrypted",))


# --- threat 57: two truths in a ZIP ----------------------------------------------------------------------------------


def one_entry(local: bytes, central: bytes, content: bytes = EXE) -> bytes:
    record = local_record(local, content)
    entry = directory_record(central, content, 0)
    return record + entry + end_record(1, len(entry), len(record))


def test_threat_57_both_names_of_an_entry_count() -> None:
    part = holding("a.zip", one_entry(b"evil.exe", b"safe.txt"))
    assert set(part.members[0].names) == {"safe.txt", "evil.exe"}
    assert part.members[0].head == EXE[:512]


@pytest.mark.parametrize(
    "around", [(b"junk" * 50, b""), (b"", b"junk" * 50), (EXE, b""), (b"GIF89a" + bytes(99), b"\0")]
)
def test_threat_57_octets_before_and_behind_do_not_hide_an_archive(around: tuple[bytes, bytes]) -> None:
    assert paths(holding("a.gif", around[0] + zipped({"evil.exe": EXE}) + around[1])) == ["evil.exe"]


def test_a_program_that_knows_the_signatures_of_archives_is_none() -> None:
    marks = (
        b"PK\x01\x02PK\x03\x04PK\x05\x06"
        + bytes(40)
        + b"Rar!\x1a\x07\0"
        + bytes(40)
        + b"Rar!\x1a\x07\x01\0"
        + bytes(40)
    )
    assert problems("a.exe", EXE + marks + b"7z\xbc\xaf\x27\x1c" + bytes(90)) == ()
    assert problems("a.exe", EXE + b"Rar!\x1a\x07") == ()


def test_threat_57_two_directories_are_both_read() -> None:
    part = holding("a.zip", zipped({"evil.exe": EXE}) + zipped({"safe.txt": b"x"}))
    assert set(paths(part)) == {"safe.txt", "evil.exe"}


def test_threat_57_an_entry_in_no_directory_is_found() -> None:
    for stray in (local_record(b"evil.exe", EXE), local_record(b"evil.exe", b"", flags=8, method=8, raw=b"\x4b\x04\0")):
        record = local_record(b"safe.txt", b"x")
        entry = directory_record(b"safe.txt", b"x", 0)
        content = record + stray + entry + end_record(1, len(entry), len(record) + len(stray))
        assert set(paths(holding("a.zip", content))) == {"safe.txt", "evil.exe"}


def located(name: bytes, offset: int) -> bytes:
    return directory_record(name, EXE, offset)


FRONT, READ = local_record(b"b.txt", b"b" * 99), local_record(b"read.txt", EXE)
HERE = len(FRONT)
EVIL = located(b"evil.exe", HERE)
BY_SIZE = located(b"read.txt", HERE - len(EVIL))
END_64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1, 1, len(EVIL), HERE + len(READ))
LOCATOR = b"PK\6\7" + struct.pack("<IQI", 0, HERE + len(READ + EVIL + BY_SIZE), 1)


@pytest.mark.parametrize(
    "ends",
    [
        EVIL + BY_SIZE + end_record(1, len(BY_SIZE), HERE + len(READ)),
        EVIL + located(b"read.txt", HERE) + END_64 + LOCATOR + end_record(1, 54, HERE + len(READ + EVIL)),
        located(b"read.txt", HERE).ljust(len(EVIL))
        + EVIL
        + END_64.replace(struct.pack("<Q", HERE + len(READ)), struct.pack("<Q", HERE + len(READ + EVIL)))
        + LOCATOR
        + end_record(1, 54, HERE + len(READ)),
        EVIL + END_64 + LOCATOR[:-4] + struct.pack("<I", 2) + end_record(1, len(EVIL), HERE + len(READ)),
    ],
    ids=["by its size", "by the record of ZIP64", "by the other record", "though zipfile refuses it"],
)
def test_threat_57_each_directory_that_a_reader_may_go_by_is_read(ends: bytes) -> None:
    assert "evil.exe" in paths(holding("a.zip", FRONT + READ + ends))


def test_threat_57_each_name_in_unicode_counts() -> None:
    fields = b"".join(
        struct.pack("<HHBI", 0x7075, 5 + len(name), 1, zlib.crc32(b"a.txt")) + name for name in (b"a.txt", b"evil.exe")
    )
    record, local = bytearray(located(b"a.txt", 0)), local_record(b"a.txt", EXE)
    record[30:32] = struct.pack("<H", len(fields))
    content = local + record + fields + end_record(1, len(record + fields), len(local))
    assert holding("a.zip", content).members[0].names == ("a.txt", "evil.exe")


def test_threat_57_what_stands_behind_the_end_of_a_packed_entry_is_found() -> None:
    """Readers that go from the front know no size before that end."""
    raw = zlib.compress(b"hello")[2:-4]
    local = bytearray(local_record(b"a.txt", b"hello", flags=8, method=8, raw=raw))
    local[14:26] = bytes(12)
    record = bytearray(directory_record(b"a.txt", b"hello", 0, flags=8, method=8))
    record[20:24] = struct.pack("<I", len(raw + READ))
    content = local + READ + record + end_record(1, len(record), len(local + READ))
    assert paths(holding("a.zip", bytes(content))) == ["a.txt", "read.txt"]


@pytest.mark.parametrize("system", [0, 3], ids=["as a file", "as a link"])
def test_threat_57_an_archive_that_calls_itself_a_link_is_opened(system: int) -> None:
    inner = zlib.compress(zipped(FILES))[2:-4]
    local = local_record(b"a.zip", zipped(FILES), method=8, raw=inner)
    record = bytearray(directory_record(b"a.zip", zipped(FILES), 0, mode=0o120777, method=8))
    record[5], record[20:24] = system, struct.pack("<I", len(inner))
    assert "a.zip > run.exe" in paths(holding("b.zip", local + bytes(record) + end_record(1, len(record), len(local))))


def test_an_archive_of_many_archives_is_whole() -> None:
    inner = zipped({"a.txt": b"x"})
    assert problems("a.zip", zipped({f"{number}.zip": inner for number in range(6)}, zipfile.ZIP_STORED)) == ()
    assert "many directories" in problems("a.zip", inner * 6)[0]


def test_an_archive_that_packs_another_without_making_it_smaller_is_whole() -> None:
    """Its octets stand in the outer one, torn by the marks of their blocks, which its directory does not know of."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=0) as archive:
        archive.writestr("photos.zip", zipped({"a.jpg": bytes(100_000), "b.jpg": b"b"}, zipfile.ZIP_STORED))
    part = holding("a.zip", out.getvalue())
    assert {"photos.zip > a.jpg", "photos.zip > b.jpg"} <= set(paths(part))
    assert problems("a.zip", out.getvalue()) == ()


def headed(kind: bytes, records: dict[str, str] | None = None, size: int | None = None) -> bytes:
    """Return a tar with one entry of a kind, `evil.zip`, behind records of POSIX for all that follows."""
    out, content = io.BytesIO(), zipped(FILES)
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers=records) as archive:
        info = tarfile.TarInfo("evil.zip")
        info.type, info.size = kind, len(content) if size is None else size
        archive.addfile(info)
        archive.fileobj.write(content + bytes(-len(content) % 512))  # type: ignore[union-attr]
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [headed(b"A"), headed(tarfile.REGTYPE, {"path": "read.txt"}), headed(tarfile.REGTYPE, {"comment": "x"})],
    ids=["an unknown kind", "a name for all", "a remark for all"],
)
def test_threat_57_a_tar_is_read_as_by_those_who_heed_no_records_for_all(content: bytes) -> None:
    archive, *inner = holding("a.tar", content).members
    assert "evil.zip" in archive.names
    assert [member.names[0] for member in inner] == ["run.exe", "docs/read.txt"]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.REGTYPE])
def test_threat_57_a_tar_does_not_end_at_a_size_below_zero(kind: bytes) -> None:
    """GNU tar goes on to the next header, and unpacks what stands behind."""
    info = tarfile.TarInfo("records")
    info.type, info.size = kind, -512
    hidden = info.tobuf(tarfile.GNU_FORMAT) + headed(tarfile.REGTYPE)
    assert problems("a.tar", hidden) == ("a.tar: has an entry of less than no octets",)


def test_a_long_name_in_a_tar_is_its_only_one() -> None:
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            archive.addfile(tarfile.TarInfo("n" * 150 + ".txt"))
        assert holding("a.tar", out.getvalue()).members[0].names == ("n" * 150 + ".txt",)


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE])
def test_threat_57_content_of_what_is_no_file_is_told(kind: bytes) -> None:
    assert problems("a.tar", headed(kind))[0] == "a.tar: evil.zip: an entry that is no file has content"


def test_threat_57_a_size_that_not_all_heed_is_told() -> None:
    assert "a.tar: evil.zip: the records of an entry disagree" in problems(
        "a.tar", headed(tarfile.REGTYPE, {"size": "0"})
    )


def test_threat_57_records_that_disagree_are_told() -> None:
    record = local_record(b"a.txt", EXE, method=8, raw=EXE)
    entry = directory_record(b"a.txt", EXE, 0)
    told = problems("a.zip", record + entry + end_record(1, len(entry), len(record)))
    assert told == ("a.zip: a.txt: the two records of an entry disagree",)


# --- threat 58: dangerous members ------------------------------------------------------------------------------------


def test_threat_58_dangerous_members_are_listed_and_nothing_is_written(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    link, device = tarfile.TarInfo("link"), tarfile.TarInfo("device")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device.type = tarfile.CHRTYPE
    part = holding("a.tar", tarred({"../up.txt": b"a", "/abs.txt": b"b"}, link, device))
    assert [member.kind for member in part.members] == [Kind.FILE, Kind.FILE, Kind.LINK, Kind.DEVICE]
    assert "up.txt" in part.members[0].names
    entry = directory_record(b"link", b"/etc/passwd", 0, mode=stat.S_IFLNK | 0o777)
    record = local_record(b"link", b"/etc/passwd")
    part = holding("a.zip", record + entry + end_record(1, len(entry), len(record)))
    assert part.members[0].kind is Kind.LINK
    for name in ("../up.txt", "/abs.txt"):
        holding("a.7z", sevenzipped({"x": b"y"}).replace(b"x\0", b"y\0"))
        assert name in holding("a.zip", zipped({name: b"x"})).members[0].names
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.zip", zipped(FILES)), ("a.tgz", gzip.compress(tarred(FILES))), ("a.7z", SEVENZIPPED)],
)
def test_the_workers_alarm_is_no_damage_of_an_archive(name: str, content: bytes) -> None:
    """Threat 54: it comes at any step."""
    for wait in itertools.count(1):
        steps = itertools.count(1)

        def timer(steps: Iterator[int] = steps, wait: int = wait) -> float:
            if next(steps) == wait:
                worker._late()
            return 0.0

        problems = Unpacker(Limits(), timer)(content, name, 5.0).problems
        if next(steps) <= wait:
            break
        assert problems[-1].endswith("opening took too long")
        assert not [each for each in problems if "damaged" in each]
    assert problems == () and wait > 4


CLOSED = "damaged or split" if foreign.available() else "no libarchive"


# --- threat 59: what can't be opened ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.zip", zipped(FILES)[:-30], "damaged or split"),
        ("a.zip", zipped(FILES)[:60], "damaged or split"),
        ("a.zip", zipped({"a": bytes(range(256)) * 99}).replace(bytes([8, 0]), bytes([77, 0])), "unknown method (77)"),
        ("a.tar", tarred({"x": bytes(range(256)) * 9})[:700], "damaged"),
        ("a.gz", gzip.compress(EXE)[:-60], "not complete"),
        ("a.bz2", bz2.compress(EXE)[:-60], "not complete"),
        ("a.xz", lzma.compress(EXE)[:-60], "not complete"),
        ("a.gz", b"\x1f\x8b\x08\0" + b"junk" * 9, "damaged"),
        ("a.7z", SEVENZIPPED[:-20], "damaged"),
        ("a.7z.001", SEVENZIPPED[:64], "damaged"),
        ("a.rar", b"Rar!\x1a\x07\0" + b"junk" * 30, "no entries"),
        ("a.cab", b"MSCF\0\0\0\0" + bytes(40), CLOSED),
        ("a.lzh", b"\x20\x10-lh5-" + bytes(40), CLOSED),
        ("a.iso", bytes(32_769) + b"CD001" + bytes(99), CLOSED),
        ("a.arj", b"\x60\xea" + bytes(60), "can't be opened here (arj)"),
        ("a.iso", bytes(32_769) + b"BEA01" + bytes(99), "no anchor that can be read (udf)"),
        ("a.vhd", bytes(1024) + b"conectix" + bytes(504), "can't be opened here (vhd)"),
        ("a.dmg", bytes(1024) + b"koly\0\0\0\4" + bytes(504), "can't be opened here (dmg)"),
        ("a.vmdk", b"KDMV" + bytes(508), "can't be opened here (vmdk)"),
        ("a.rpm", b"\xed\xab\xee\xdb\3\0" + bytes(90), "can't be opened here (rpm)"),
        ("a.lzo", b"\x89LZO\0\r\n\x1a\n" + bytes(50), "can't be opened here (lzop)"),
        ("a.egg", b"EGGA" + bytes(50), "can't be opened here (egg)"),
        ("a.sfs", b"hsqs" + bytes(120), "can't be opened here (squashfs)"),
        ("a.qcow2", b"QFI\xfb" + bytes(120), "can't be opened here (qcow)"),
        ("a.vdi", bytes(64) + b"\x7f\x10\xda\xbe" + bytes(120), "can't be opened here (vdi)"),
        ("a.zpaq", b"7kSt\xa01\x83\xd3" + bytes(120), "can't be opened here (zpaq)"),
        ("a.lrz", b"LRZI\0\6" + bytes(120), "can't be opened here (lrzip)"),
        ("a.sit", b"SIT!\0\1" + bytes(120), "can't be opened here (sit)"),
        ("a.alz", b"ALZ\1" + bytes(50), "can't be opened here (alz)"),
        ("a.lzma", lzma.compress(EXE, lzma.FORMAT_ALONE)[:-60], "not complete"),
        (
            "a.img",
            b"\xeb\x3c\x90" + b"FAT12".rjust(56) + bytes(451) + b"\x55\xaa" + bytes(512),
            "can't be opened here (img)",
        ),
        ("winmail.dat", b"\x78\x9f\x3e\x22" + b"junk" * 9, "damaged"),
        ("a.ex_", b"SZDD\x88\xf0\x27\x33A\0" + bytes(9), "can't be opened here (szdd)"),
        ("a.pst", b"!BDN" + bytes(600), "can't be opened here (pst)"),
        ("a.img", bytes(32_769) + b"NSR02" + bytes(99), "no anchor that can be read (udf)"),
        ("a.img", bytes(524_288) + bytes([2, 0, 2, 0, 4]) + bytes(600), "no anchor that can be read (udf)"),
        ("a.img", bytes(1080) + b"\x53\xef\1\0\1\0" + bytes(600), "can't be opened here (img)"),
        ("a.vhd", zipped(FILES) + b"conectix" + bytes(504), "can't be opened here (vhd)"),
        ("a.zst", b"\x25\xb5\x2f\xfd" + bytes(20), "damaged"),
        ("a.lzh", b"\x20\x10-lhx-" + bytes(40), CLOSED),
        ("a.cab", EXE, "is called an archive"),
        ("a.tar", headed(tarfile.XHDTYPE), "no entries"),
    ],
    ids=[f"{number}" for number in range(42)],
)
def test_threat_59_what_can_t_be_opened_is_told(name: str, content: bytes, said: str) -> None:
    told = problems(name, content)
    assert told
    assert all(text.startswith(name) for text in told)
    assert any(said in text for text in told)


@pytest.mark.parametrize("name", ["a.7z.002", "a.zip.003", "a.z01", "a.r00", "a.part2.rar", "a.tar.gz.01"])
def test_threat_59_pieces_of_a_split_archive_are_told_by_their_names(name: str) -> None:
    assert problems(name, b"\x01\x02" * 50) == (f"{name}: is one piece of a split archive",)
    assert problems("a.zip", zipped({name: b"x"})) == (f"a.zip: {name}: is one piece of a split archive",)


def test_threat_59_a_member_that_is_called_an_archive_and_is_none_is_told() -> None:
    assert problems("a.zip", zipped({"b.rar": EXE, "c.gz": b"a text", "d.zip": b"", "e.gz": b'{"a": [1, 2]}'})) == (
        "a.zip: b.rar: is called an archive, and is none that is known here",
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tar", bytes(10_240)), ("a.tar.gz", gzip.compress(bytes(10_240), mtime=0)), ("a.tar", bytes(1024))],
)
def test_a_tar_without_entries_holds_nothing_that_could_not_be_opened(name: str, content: bytes) -> None:
    assert problems(name, content) == ()


@pytest.mark.parametrize("name", ["1.2.840.001", "report.2024", "zip", "photo.001", "zip.01"])
def test_other_numbers_at_the_end_of_a_name_make_no_piece(name: str) -> None:
    assert problems(name, b"x") == ()


# --- RAR and winmail.dat ---------------------------------------------------------------------------------------------


def test_a_rar_is_read() -> None:
    part = holding("a.rar", rar5(b"evil.exe", EXE))
    assert [(member.names, member.type, member.head) for member in part.members] == [
        (("evil.exe",), "application/x-dosexec", EXE[:512])
    ]


def test_threat_59_packed_split_and_damaged_rar_entries_are_told_by_name() -> None:
    packed = take_apart(mail(attachment(b"a.rar", rar5(b"evil.exe", EXE, method=3))))
    assert packed.parts[0].members[0].names == ("evil.exe",)
    assert packed.parts[0].members[0].read is False
    assert packed.unscannable[0].startswith("a.rar: evil.exe: ")
    split = problems("a.rar", rar5(b"evil.exe", EXE, flags=0x10))
    assert split == ("a.rar: evil.exe: an entry goes on in another file",)
    assert "a.part1.rar: is one piece of a split archive" in problems("a.part1.rar", rar5(b"evil.exe", EXE))


def test_threat_52_the_attachments_of_a_winmail_dat_are_members() -> None:
    part = holding("winmail.dat", tnef(b"evil.exe", EXE))
    assert [(member.names, member.head) for member in part.members] == [(("evil.exe",), EXE[:512])]
    part = holding("winmail.dat", tnef(b"a.zip", zipped({"evil.exe": EXE})))
    assert paths(part) == ["a.zip", "a.zip > evil.exe"]


def test_threat_57_a_name_in_unicode_beside_the_local_one_counts() -> None:
    plain = zipped({"a.txt": EXE}, zipfile.ZIP_STORED)
    name = b"run.exe"
    extra = struct.pack("<HHBI", 0x7075, 5 + len(name), 1, zlib.crc32(b"a.txt")) + name
    local = plain[:28] + struct.pack("<H", len(extra)) + plain[30:35] + extra + plain[35:]
    end = local.rfind(b"PK\5\6")
    moved = local[: end + 16] + struct.pack("<I", local.find(b"PK\1\2")) + local[end + 20 :]
    assert "run.exe" in holding("a.zip", moved).members[0].names


PAGE = '<a download="run.exe" href="{}">x</a><script>const file = "{}"</script>'


@pytest.mark.parametrize("charset", ["utf-8", "utf-16"])
@pytest.mark.parametrize("media", [b"text/html", b"application/octet-stream"])
def test_files_that_a_page_carries_in_base64_are_parts(media: bytes, charset: str) -> None:
    packed = base64.b64encode(zipped({"inner.exe": EXE})).decode()
    url = "data:application/x-msdownload;base64," + base64.b64encode(EXE).decode()
    found = take_apart(mail(attachment(b"a.html", PAGE.format(url, packed).encode(charset), media))).parts
    assert [part.shown for part in found] == ["a.html", "run.exe", "run.exe"]
    assert found[1].head[:2] == b"MZ"
    assert [member.names for member in found[2].members] == [("inner.exe",)]


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (b"<a download='run.hta' href='data:application/hta;base64,%s'>x</a>", "run.hta"),
        (b"<script>a.setAttribute('download', 'run.js'); a.href = 'data:text/plain;base64,%s'</script>", "run.js"),
        (b"<script>saveAs(blob, 'run.iso')</script><img src='data:image/png;base64,%s'>", ""),
        (b"<a download='a.zip' href='/a'>x</a><style>x {src: url( &quot;data:application/font;base64,%s)}</style>", ""),
    ],
)
def test_whatever_a_page_has_its_reader_save_is_a_part(page: bytes, shown: str) -> None:
    found = take_apart(mail(attachment(b"a.html", page % base64.b64encode(b"x('a script of some length')")))).parts
    assert [part.shown for part in found] == ["a.html", *([shown] if shown else [])]


def test_a_disc_that_a_page_carries_is_a_part_and_zeros_are_none() -> None:
    disc = bytes(32_769) + b"CD001" + bytes(99)
    for content, shown in ((disc, ["a.html", "run.iso"]), (bytes(3000), ["a.html"])):
        page = b"<script>blob = '%s'; saveAs(blob, 'run.iso')</script>" % base64.b64encode(content)
        assert [part.shown for part in take_apart(mail(attachment(b"a.html", page))).parts] == shown


def test_files_that_a_page_in_an_archive_carries_are_members() -> None:
    packed = base64.b64encode(zipped({"inner.exe": EXE})).decode()
    part = holding("a.zip", zipped({"a.html": PAGE.format("#", packed).encode()}))
    assert [member.names for member in part.members] == [("a.html",), ("run.exe",), ("inner.exe",)]


@pytest.mark.parametrize(
    ("content", "media"),
    [
        (bytes.fromhex("4c0000000114020000000000c000000000000046") + bytes(80), "application/x-ms-shortcut"),
        (b"[InternetShortcut]\r\nURL=file://evil.com/x\r\n", "application/x-ms-shortcut"),
        (b"ITSF\3\0\0\0" + bytes(80), "application/vnd.ms-htmlhelp"),
    ],
)
def test_shortcuts_and_help_files_are_told_by_their_octets(content: bytes, media: str) -> None:
    assert holding("a.dat", content).sniffed == media


@pytest.mark.parametrize(("shift", "sector"), [(9, 20), (12, 3), (65_535, 3)])
def test_a_package_of_an_installer_is_one_whatever_it_is_called_and_wherever_its_root_stands(
    shift: int, sector: int
) -> None:
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(22) + struct.pack("<H16xI", shift, sector)
    root = bytes(80) + bytes.fromhex("84100c0000000000c000000000000046")
    content = head.ljust((sector + 1) << min(shift, 12), b"\0") + root + bytes(4096)
    assert holding("invoice.pdf", content).sniffed == "application/x-msi"
    assert holding("invoice.pdf", content[:-4200]).sniffed != "application/x-msi"


@pytest.mark.parametrize(
    "front",
    [zipped({"a.txt": b"x"}), tarred({"a.txt": b"x"}), compound({"x": b"y" * 5000})],
    ids=["zip", "tar", "document"],
)
@pytest.mark.parametrize(
    ("name", "behind"), [("a.rar", rar5(b"run.exe", EXE)), ("a.7z", sevenzipped({"run.exe": EXE}))]
)
def test_threat_57_an_archive_behind_another_is_found_where_the_name_asks_for_it(
    front: bytes, name: str, behind: bytes
) -> None:
    assert ("run.exe",) in [member.names for member in holding(name, front + behind).members]
