"""Discs in UDF, as Windows opens them: names and files, and what can't be read is told (threats 55-59)."""

import struct

import pytest
from tests.message.discs import LINK, Disc, at, disc, extent, number, tagged
from tests.message.mails import EXE, attachment, holding, mail, needs_library, take_apart

from gatepost.message.anatomy import Kind

TREE = {"run.exe": EXE, "docs": {"read.txt": b"hello", "\u0441\u0447\u0451\u0442.lnk": b"L" * 5000, "deep": {}}}


def problems(content: bytes) -> tuple[str, ...]:
    return take_apart(mail(attachment(b"a.img", content))).unscannable


@pytest.mark.parametrize("sector", [512, 2048, 4096])
@pytest.mark.parametrize("metadata", [False, True])
@pytest.mark.parametrize("extended", [False, True])
def test_each_file_is_found_under_its_name(sector: int, metadata: bool, extended: bool) -> None:
    content = disc(TREE, sector, metadata=metadata, extended=extended)
    part = holding("a.img", content)
    assert [(member.path, member.kind, member.size) for member in part.members] == [
        ("run.exe", Kind.FILE, len(EXE)),
        ("docs", Kind.FOLDER, 0),
        ("docs/read.txt", Kind.FILE, 5),
        ("docs/\u0441\u0447\u0451\u0442.lnk", Kind.FILE, 5000),
        ("docs/deep", Kind.FOLDER, 0),
    ]
    assert [member.head for member in part.members] == [EXE[:512], b"", b"hello", b"L" * 512, b""]
    assert problems(content) == ()


@needs_library
def test_threat_57_both_file_systems_of_a_disc_are_read() -> None:
    content = bytearray(disc({"evil.exe": EXE}))
    content[19 * 2048 : 22 * 2048] = content[16 * 2048 : 19 * 2048]
    content[16 * 2048 : 17 * 2048] = bytes([1]) + b"CD001\x01" + bytes(2041)
    found = take_apart(mail(attachment(b"a.iso", bytes(content))))
    assert [member.path for member in found.parts[0].members] == ["evil.exe"]
    assert found.unscannable == ("a.iso: is a damaged or split archive (iso9660)",)


def test_threat_59_wherever_a_disc_is_cut_off_it_is_told() -> None:
    whole = disc({"run.exe": EXE, "docs": {"read.txt": b"hello"}}, 512)
    for end in range(257 * 512, len(whole) - 1, 512):
        cut = whole[:end]
        assert problems(cut), end


def test_threat_59_what_only_burnt_discs_need_is_told() -> None:
    made = Disc()
    virtual = struct.pack("<BBHB31sHH24x", 2, 64, 0, 0, b"*UDF Virtual Partition", 1, 7)
    assert problems(made.made(made.folder(TREE), maps=virtual)) == (
        "a.img: has a partition that can't be opened here (udf)",
    )


def test_threat_55_a_file_that_is_large_without_octets_ends_at_a_limit() -> None:
    made = Disc()
    hole = 1 << 30
    large = made.entry(5, 3 * hole, 0, struct.pack("<II", hole | hole - 1, 0) * 3)
    small = made.file(EXE)
    image = made.made(made.listing(made.name("large.bin", large), made.name("run.exe", small)))
    assert [member.path for member in holding("a.img", image).members] == ["large.bin", "run.exe"]
    assert problems(image)[0] == "a.img: large.bin: the mail's archives unpack to more than 100000000 octets"


def test_a_folder_within_itself_ends() -> None:
    made = Disc()
    made.listing(made.name("again", 0), made.name("link", 1))
    made.entry(LINK, 1, 3, b"x")
    members = holding("a.img", made.made(0)).members
    assert [(member.path, member.kind) for member in members] == [("again", Kind.FOLDER), ("link", Kind.LINK)]


def test_a_file_in_pieces_is_joined_and_one_without_end_is_told() -> None:
    made = Disc()
    pieces = [made.put(each * 2048, made.blocks) for each in (b"a", b"b")]
    further = made.put(tagged(258, at(_20=number(16)) + extent(2048, pieces[1])), made.blocks)
    joined = made.entry(5, 4096, 1, extent(2048, pieces[0]) + extent(3 << 30 | 2048, further))
    endless = made.put(tagged(258, at(_20=number(16)) + extent(3 << 30 | 2048, len(made.blocks))), made.blocks)
    never = made.entry(5, 4096, 1, extent(3 << 30 | 2048, endless))
    image = made.made(made.listing(made.name("joined", joined), made.name("never", never)))
    (member, _) = holding("a.img", image).members
    assert (member.path, member.size, member.head) == ("joined", 4096, b"a" * 512)
    assert problems(image) == ("a.img: never: its files lie in too many pieces (udf)",)


def test_the_pieces_of_all_files_are_counted_together() -> None:
    """Else each of thousands of names for one endless file would be followed as far."""
    made = Disc()
    endless = made.put(tagged(258, at(_20=number(16)) + extent(3 << 30 | 2048, 0)), made.blocks)
    never = made.entry(5, 4096, 1, extent(3 << 30 | 2048, endless))
    late = made.file(EXE)
    image = made.made(made.listing(made.name("never", never), made.name("late", late)))
    told = ": its files lie in too many pieces (udf)"
    assert problems(image) == (f"a.img: never{told}", f"a.img: late{told}")


@pytest.mark.parametrize("step", [97, pytest.param(31, marks=pytest.mark.soak)])
def test_odd_octets_are_told_or_read(step: int) -> None:
    whole = disc({"run.exe": EXE, "a": {"b.txt": b"hello"}}, 512)
    for place in (*range(128 * 512, 131 * 512, step), *range(300 * 512, len(whole), step)):
        content = bytearray(whole)
        content[place] ^= 0xFF
        found = take_apart(mail(attachment(b"a.img", bytes(content))))
        assert found.unscannable or found.parts[0].members
