"""winmail.dat and Outlook's messages: every file and name in them, and where their texts lead (threats 52, 61)."""

import pytest
from tests.message.documents import compound
from tests.message.mails import (
    EXE,
    attachment,
    holding,
    mail,
    take_apart,
    tnef,
    tnef_attribute,
    tnef_message,
    tnef_properties,
)

from gatepost.message import lzfu


def problems(content: bytes) -> tuple[str, ...]:
    return take_apart(mail(attachment(b"winmail.dat", content))).unscannable


LONG_NAME = (0x3707, 0x1F, "evil.exe\0".encode("utf-16-le"))
NESTED = bytes.fromhex("0703020000000000c000000000000046")
STORAGE = bytes.fromhex("0b00000000000000c000000000000046")


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ([LONG_NAME], ("evil.exe", "a.txt")),
        ([(0x1234, 2, b"\1\0"), (0x3001, 0x1F, b"\0\xd8\0\xd8"), LONG_NAME], ("evil.exe", "a.txt")),
        ([(0x3704, 0x1E, b"EVIL~1.EXE\0")], ("EVIL~1.EXE", "a.txt")),
        ([(0x3001, 0x1E, b"Shown.\0")], ("a.txt",)),
    ],
    ids=["long", "behind no text", "short", "shown"],
)
def test_threat_52_a_file_of_a_winmail_dat_has_each_name_by_which_outlook_saves_it(
    properties: list[tuple[int, int, bytes]], names: tuple[str, ...]
) -> None:
    part = holding("winmail.dat", tnef(b"a.txt", EXE, tnef_properties(*properties, attached=True)))
    assert [member.names for member in part.members] == [names]


def test_threat_52_what_hides_a_name_in_a_winmail_dat_is_told_and_the_rest_is_read() -> None:
    hidden = tnef_properties((0x1234, 1, b""), LONG_NAME, attached=True)
    other = tnef_attribute(2, 0x00069002, bytes(14)) + tnef_attribute(2, 0x00018010, b"b.exe\0")
    found = take_apart(mail(attachment(b"winmail.dat", tnef(b"a.txt", EXE, hidden, other))))
    assert found.unscannable == ("winmail.dat: a.txt: has a property of an unknown type (0x0001)",)
    assert [member.names for member in found.parts[0].members] == [("a.txt",), ("b.exe",)]
    cut = problems(tnef(b"a.txt", EXE)[:-1])
    assert cut == ("winmail.dat: is a damaged winmail.dat",)


@pytest.mark.parametrize("kind", [0, 0x100D], ids=["of no type", "objects"])
def test_threat_52_a_property_whose_length_readers_tell_differently_is_told(kind: int) -> None:
    hidden = tnef_properties((0x1234, kind, (2).to_bytes(4, "little") + bytes(8)), attached=True)
    assert "of an unknown type" in problems(tnef(b"a.txt", EXE, hidden))[0]


@pytest.mark.parametrize("kind", [0x1002, 0x100B], ids=["numbers", "truths"])
@pytest.mark.parametrize("size", [4, 8], ids=["together", "apart"])
def test_threat_52_behind_several_short_values_that_are_padded_together_or_each_a_name_is_found(
    kind: int, size: int
) -> None:
    shorts = (0x1234, kind, (2).to_bytes(4, "little") + bytes(size))
    found = take_apart(
        mail(attachment(b"winmail.dat", tnef(b"a.txt", EXE, tnef_properties(shorts, LONG_NAME, attached=True))))
    )
    assert found.unscannable == ()
    assert [member.names for member in found.parts[0].members] == [("evil.exe", "a.txt")]


def test_threat_52_a_list_that_reads_well_in_either_way_is_read_in_both() -> None:
    name = LONG_NAME[2]
    hidden = octets(0x3707001F, 1, len(name)) + name + bytes(-len(name) % 4)
    said = octets(3, 0x12341002, 3) + bytes(8)  # three values, padded together
    said += octets(0x12340102, 3, len(hidden))  # octets with three values; or the third value, and a number called 0
    said += hidden + octets(0, 0, 0x12340003, 0)  # the first of them; or a name
    part = holding("winmail.dat", tnef(b"a.txt", EXE, tnef_attribute(2, 0x00069005, said)))
    assert part.members[0].names == ("evil.exe", "a.txt")


def octets(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def test_threat_52_a_file_that_begins_like_a_message_is_a_file_by_its_name() -> None:
    content = NESTED + tnef_message(tnef_attribute(1, 0x00028004, b"<script>"))
    data = (0x3701, 0x102, content)
    part = holding("winmail.dat", tnef_message(tnef_properties(data, (0x3707, 0x1E, b"a.hta\0"), attached=True)))
    assert [(member.names, member.size) for member in part.members] == [(("a.hta",), len(content))]


def test_threat_52_more_names_of_a_file_than_are_looked_at_are_told() -> None:
    names = b"".join((8).to_bytes(4, "little") + b"%05d.a\0" % number for number in range(1200))
    many = (0x3707, 0x101E, (1200).to_bytes(4, "little") + names)
    assert "more names than are looked at" in problems(tnef(b"a.txt", b"x", tnef_properties(many, attached=True)))[0]


def test_threat_52_messages_and_objects_in_a_winmail_dat_are_opened() -> None:
    message = (0x3701, 0x0D, NESTED + tnef(b"evil.exe", EXE))
    part = holding("winmail.dat", tnef_message(tnef_properties(message, attached=True)))
    assert [member.path for member in part.members] == ["evil.exe"]
    document = compound({"Macros/VBA/dir": b"x"})
    part = holding("winmail.dat", tnef_message(tnef_properties((0x3701, 0x0D, STORAGE + document), attached=True)))
    assert (part.macros, part.members[0].size) == (True, len(document))
    different = (NESTED + tnef_message(tnef_attribute(1, 0x00018004, bytes([number]))) for number in range(60))
    many = tnef_message(*(tnef_properties((0x3701, 0x0D, each), attached=True) for each in different))
    assert "more messages" in problems(many)[0]


def test_a_subject_in_another_code_page_keeps_no_winmail_dat_from_being_read() -> None:
    page = tnef_attribute(1, 0x00069007, (932).to_bytes(8, "little"))
    found = take_apart(
        mail(attachment(b"winmail.dat", tnef(b"a.txt", b"x", page, tnef_attribute(1, 0x00018004, b"\x81"))))
    )
    assert (found.unscannable, [member.names for member in found.parts[0].members]) == ((), [("a.txt",)])


# [MS-OXRTFCP] 3.1 and 3.2.
RTF_WORLD = "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
RTF_RUNS = "1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0"


def test_compressed_rtf_is_unpacked_as_it_is_written_down() -> None:
    assert lzfu.unpacked(bytes.fromhex(RTF_WORLD)) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert lzfu.unpacked(bytes.fromhex(RTF_RUNS)) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"
    assert len(lzfu.unpacked(bytes.fromhex(RTF_RUNS), 240)) < 60


def test_threat_61_compressed_rtf_that_refers_to_what_was_not_yet_written_is_read_on() -> None:
    # A reader whose window begins with zeros goes on: a link behind it must not be out of sight.
    packed = bytes(8) + b"LZFu" + bytes(4) + b"\1" + (3000 << 4 | 1).to_bytes(2, "big") + b"{\\rtf1}"
    assert lzfu.unpacked(packed) == b"\0\0\0{\\rtf1}"


def stored_rtf(text: bytes) -> bytes:
    return bytes(8) + b"MELA" + bytes(4) + text


TEXTS = [
    (0x1000, 0x1F, "see http://evil.com/x\0".encode("utf-16-le")),
    (0x1013, 0x102, b'<html><a href="http://evil.com/x">here</a></html>'),
    (0x1009, 0x102, stored_rtf(b'{\\rtf1{\\field{\\*\\fldinst HYPERLINK "http://evil.com/x"}}}')),
]


@pytest.mark.parametrize("text", TEXTS, ids=["plain", "html", "rtf"])
def test_threat_61_where_the_text_of_an_outlook_message_leads_is_found(text: tuple[int, int, bytes]) -> None:
    winmail = tnef_message(tnef_properties(text))
    number, kind, value = text
    message = compound({"__nameid_version1.0/__substg1.0_00020102": b"x", f"__substg1.0_{number:04X}{kind:04X}": value})
    for name, content in ((b"winmail.dat", winmail), (b"a.msg", message)):
        found = take_apart(mail(attachment(name, content)))
        assert "evil.com" in [link.host for link in found.leads]
        assert found.unscannable == ()


def test_threat_61_the_old_text_of_a_winmail_dat_is_read_too() -> None:
    found = take_apart(
        mail(attachment(b"winmail.dat", tnef_message(tnef_attribute(1, 0x0002800C, b"http://evil.com/\0"))))
    )
    assert [link.host for link in found.leads] == ["evil.com"]
