"""Archives that libarchive opens: RAR, discs, cabinets and rarer ones; and what is said where it is missing."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.message.documents import cabinet
from tests.message.mails import (
    EXE,
    attachment,
    directory_record,
    end_record,
    holding,
    local_record,
    mail,
    needs_library,
    rar5,
    take_apart,
)

from gatepost.message import foreign
from gatepost.message.anatomy import Part

# A solid RAR 5 with two packed files, and a RAR 3 (of the 2.9 format) with a folder, by WinRAR.
SOLID_RAR5 = base64.b64decode(
    "UmFyIRoHAQAJ78hvCwEFBwQGAQGAgIAA3vVwchwCAroABIAQtoMCoua3xYAbAQpzdGVzdDEudHh0waw3REQj+iP2l/1iU1G+TJGBQQKMwQN5XL9H"
    "o6otoDaT3aBYAEACANRQBHb2xH8y6p8ypcTM14PfABDoLYkcAgKNAASAELaDAqLmt8XAGwEKc3Rlc3QyLnR4dEUVCmABAAgD37f79vwdd1ZRAwUE"
    "AA=="
)
RAR3 = base64.b64decode(
    "UmFyIRoHAM+QcwAADQAAAAAAAAC153QgkDcACQAAAAkAAAACdiKNgXWx+lAdMBIAIQAAAHJvX2Rpclxyb19maWxlLnR4dACwk7MvcmVhZG9ubHkK"
    "cUd04JArAAAAAAAAAAAAAgAAAAB1sfpQFDAGABEAAAByb19kaXIAsJokMsQ9ewBABwA="
)
# A program in a 7z packed by BCJ2, by 7-Zip.
BCJ2 = base64.b64decode(
    "N3q8ryccAAQ6aQTEjgAAAAAAAACSAAAAAAAAAKhSnzgAJpaZIL4ccrk0jKycfrc+wAD////OawqGAAAAaARA9L9mFtzQtxXK42ryFKJOLXg0Yyi6"
    "VtlYXzt4ghzKTDrjF8A8KoHLz1tV7B1wrhpBQ24tiEFHfMLDABn0s3+Mip7q21x4g2NhoZQ8cr9B9vsTQe0cISSzBsBsZj3m5F1wWMmWJeDGl4Ag"
    "1AAAAAAAAQQGAAQJEQlvBQAHCwEABCMDAQEFXQAQAAAjAwEBBV0AEAAAIwMBAQVdABAAABQDAwEbBAEFAAQBAwICBgEADACBNID+gjIACAoBLPG9"
    "KgAABQEZCAAAAAAAAAAAERcAcwAvAGUAdgBpAGwALgBlAHgAZQAAABkEAAAAABQKAQDdHjDk+X/dARUGAQAggO2BAAA="
)
# A file of 2,000 zeros in a 7z packed by PPMd, by 7-Zip; and with other packed octets.
PPMD = base64.b64decode(
    "N3q8ryccAASMC9XuBwAAAAAAAABEAAAAAAAAAIwsEm8AAAAAAAAAAQQGAAEJBwAHCwEAASMDBAEFBAAAAQAMh9AACAoBRPTJAgAABQEZBQAAAAAA"
    "ERMAegBlAHIAbwAuAGUAeABlAAAAAAA="
)
ODD_PPMD = PPMD[:33] + base64.b64decode("UDm+8H7C") + PPMD[39:]


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    foreign._library.cache_clear()
    monkeypatch.setitem(sys.modules, "libarchive", None)
    yield
    foreign._library.cache_clear()


def made(kind: str, method: str | None = None) -> bytes:
    from libarchive import custom_writer  # type: ignore[import-untyped]

    out: list[bytes] = []
    with custom_writer(lambda piece: out.append(bytes(piece)) or len(piece), kind, method) as archive:
        archive.add_file_from_memory("run.exe", len(EXE), EXE)
    return b"".join(out)


def contents(part: Part) -> list[tuple[tuple[str, ...], bytes]]:
    return [(member.names, member.head) for member in part.members]


@pytest.mark.conformance
def test_the_systems_library_is_there_so_that_nothing_below_is_left_out() -> None:
    assert foreign.available()


@needs_library
@pytest.mark.parametrize("name", ["a.iso", "a.cpio", "a.ar"])
def test_discs_and_rarer_archives_are_opened(name: str) -> None:
    kind = {"a.iso": "iso9660", "a.ar": "ar_bsd"}.get(name, name[2:])
    part = holding(name, made(kind))
    assert set(contents(part)) == {(("run.exe",), EXE[:512])}
    assert take_apart(mail(attachment(name.encode(), made(kind)))).unscannable == ()


@needs_library
@pytest.mark.parametrize("method", ["compress", "lzip", "lz4"])
def test_rarer_packed_files_are_opened(method: str) -> None:
    part = holding("a.tar.x", made("ustar", method))
    assert contents(part) == [(("run.exe",), EXE[:512])]


@needs_library
def test_cabinets_are_opened_and_damaged_ones_told() -> None:
    assert contents(holding("a.cab", cabinet(b"run.exe", EXE))) == [(("run.exe",), EXE[:512])]
    for content in (cabinet(b"run.exe", EXE)[:-20], cabinet(b"run.exe", EXE, method=2)):
        assert take_apart(mail(attachment(b"a.cab", content))).unscannable


@needs_library
def test_packed_entries_of_a_solid_rar_are_read() -> None:
    part = holding("a.rar", SOLID_RAR5)
    assert [(member.names, member.size, member.read) for member in part.members] == [
        (("stest1.txt",), 2048, True),
        (("stest2.txt",), 2048, True),
    ]


@needs_library
def test_a_7z_packed_by_bcj2_is_opened() -> None:
    (program,) = holding("a.7z", BCJ2).members
    assert (program.names[0], program.size, program.type) == ("s/evil.exe", 562, "application/x-dosexec")


@pytest.mark.usefixtures("no_library")
def test_of_a_7z_packed_by_bcj2_the_names_are_read_without_the_library() -> None:
    found = take_apart(mail(attachment(b"a.7z", BCJ2)))
    assert found.parts[0].members[0].names[0] == "s/evil.exe"
    assert "a.7z: s/evil.exe: an entry can't be unpacked" in found.unscannable


def test_a_rar_of_the_older_form_is_read() -> None:
    assert [(member.names[0], member.head) for member in holding("a.rar", RAR3).members] == [
        ("ro_dir/ro_file.txt", b"readonly\n"),
        ("ro_dir/", b""),
    ]


@pytest.mark.usefixtures("no_library")
def test_threat_59_without_the_library_names_are_read_and_the_rest_is_told() -> None:
    assert contents(holding("a.rar", rar5(b"evil.exe", EXE))) == [(("evil.exe",), EXE[:512])]
    found = take_apart(mail(attachment(b"a.rar", SOLID_RAR5)))
    assert [member.names[0] for member in found.parts[0].members] == ["stest1.txt", "stest2.txt"]
    assert found.unscannable[0] == "a.rar: stest1.txt: there is no libarchive to open it here"
    told = take_apart(mail(attachment(b"a.cab", cabinet(b"run.exe", EXE)))).unscannable
    assert told == ("a.cab: there is no libarchive to open it here",)


@needs_library
def test_a_disc_with_a_second_file_system_is_told() -> None:
    disc = bytearray(made("iso9660"))
    disc[19 * 2048 + 1 : 19 * 2048 + 6] = b"NSR02"
    told = take_apart(mail(attachment(b"a.iso", bytes(disc)))).unscannable
    assert told == ("a.iso: has no anchor that can be read (udf)",)


@pytest.mark.parametrize("front", [b"\xff\xd8\xff\xe0" + bytes(99), b"MZ" + bytes(99), b"\x1f\x8b" + bytes(20)])
def test_threat_57_a_rar_behind_other_octets_is_read(front: bytes) -> None:
    assert ("evil.exe",) in [member.names for member in holding("a.jpg", front + rar5(b"evil.exe", EXE)).members]


@needs_library
def test_names_are_read_whatever_the_locale_of_the_system(tmp_path: Path) -> None:
    name = "\u0441\u0447\u0451\u0442.exe".encode() + b"\0"
    sizes = [1, 0o100644, 0, 0, 1, 0, len(EXE), 0, 0, 0, 0, len(name), 0]
    head = b"070701" + b"".join(b"%08x" % size for size in sizes) + name
    archive = head + bytes(-len(head) % 4) + EXE + bytes(-len(EXE) % 4)
    (tmp_path / "x.cpio").write_bytes(archive)
    code = (
        "import pathlib, sys; from tests.message.mails import holding; "
        "sys.stdout.reconfigure(encoding='utf-8'); "
        f"print(holding('x.cpio', pathlib.Path({str(tmp_path / 'x.cpio')!r}).read_bytes()).members[0].names[0])"
    )
    # Without `site`, which reads the environment's own path in that locale.
    there = {**os.environ, "LC_ALL": "C", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=there, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "\u0441\u0447\u0451\u0442.exe"


@needs_library
def test_a_7z_packed_by_ppmd_is_opened_and_hostile_octets_in_it_kill_no_worker() -> None:
    part = holding("a.7z", PPMD)
    assert [(member.path, member.size, member.read) for member in part.members] == [("zero.exe", 2000, True)]
    anatomy = take_apart(mail(attachment(b"a.7z", ODD_PPMD)))
    assert "a.7z: zero.exe: an entry is damaged or packed by an unknown method" in anatomy.unscannable


@needs_library
def test_threat_57_each_tree_of_a_disc_is_read_where_names_and_sizes_are_alike() -> None:
    disc = bytearray(made("iso9660"))
    name = bytes([14]) + "run.exe".encode("utf-16-be")
    record, other = disc.find(name) - 32, len(disc) // 2048 - 9
    disc[record + 2 : record + 10] = other.to_bytes(4, "little") + other.to_bytes(4, "big")
    disc[other * 2048 : other * 2048 + 2] = b"PK"
    assert {member.head[:2] for member in holding("a.iso", bytes(disc)).members} == {b"MZ", b"PK"}


@needs_library
def test_threat_57_a_disc_that_begins_as_another_archive_is_opened_as_both() -> None:
    disc = bytearray(made("iso9660"))
    local, record = local_record(b"a.txt", b"hello"), directory_record(b"a.txt", b"hello", 0)
    disc[: len(local)] = local
    part = holding("a.iso", bytes(disc) + record + end_record(1, len(record), len(disc)))
    assert [member.path for member in part.members] == ["a.txt", "run.exe"]
