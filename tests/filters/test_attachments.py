"""Attachments against a domain's rules, and what cannot be looked into."""

import asyncio
from typing import Any

import pytest
from tests.filters.mails import (
    HEADER,
    ask,
    attached,
    attachment_rules,
    mail,
    make,
    mixed,
    plain,
    recipient,
    run,
    symbols,
    zipped,
)
from tests.message.documents import compound

from gatepost.model.verdict import Category, Finding

EXE = b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00\xb8\x00\x00\x00\x00\x00\x00\x00@" + b"\x00" * 35
EXE += b"\x80\x00\x00\x00\x0e\x1f\xba\x0e\x00\xb4\t\xcd!\xb8\x01L\xcd!This program cannot be run in DOS mode.\r\r\n$"
EXE = EXE.ljust(128, b"\x00") + b"PE\x00\x00d\x86\x03\x00" + b"\x00" * 400
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"

Rule = tuple[str, str, str]
NO_EXE: Rule = ("DENY", "FILENAME", r"\.exe$")


def found(data: bytes, *rules: Rule, **options: Any) -> list[Finding]:
    return ask(make("attachments", **options), data, attachment_rules(*rules))


def denied(data: bytes, *rules: Rule) -> bool:
    findings = [one for one in found(data, *rules) if one.category is Category.BAD_ATTACHMENT]
    assert set(symbols(findings)) <= {"ATTACHMENT_DENIED"}
    return bool(findings)


def named(name: str, data: bytes = b"\x00\x01\x02 data", kind: str = "application/octet-stream") -> bytes:
    return mixed(attached(data, f'attachment; filename="{name}"', kind))


def test_no_rule_passes_everything() -> None:
    assert found(named("run.exe", EXE)) == []


@pytest.mark.parametrize(
    ("name", "hit"), [("run.exe", True), ("RUN.EXE", True), ("run.exe.txt", False), ("exe", False)]
)
def test_a_name_is_searched_in_any_case(name: str, hit: bool) -> None:
    assert denied(named(name), NO_EXE) is hit


def test_the_finding_names_rule_and_file() -> None:
    (finding,) = found(named("run.exe"), ("DENY", "FILENAME", "never"), NO_EXE)
    assert (finding.symbol, finding.rule_id) == ("ATTACHMENT_DENIED", 2)
    assert finding.reason == r"run.exe: forbidden by the rule “\.exe$”"


@pytest.mark.parametrize(
    ("rules", "hit"),
    [
        ([("ALLOW", "FILENAME", "^report"), NO_EXE], False),
        ([NO_EXE, ("ALLOW", "FILENAME", "^report")], True),
        ([("ALLOW", "FILENAME", "^other"), NO_EXE], True),
        ([("ALLOW", "CONTENTTYPE", "octet-stream|dosexec"), NO_EXE], False),
        ([("DENY", "FILENAME", "^other"), ("DENY", "FILENAME", "^none")], False),
        ([("ALLOW", "ARCHIVE_FILENAME", "."), NO_EXE], True),
    ],
)
def test_the_first_rule_that_matches_decides(rules: list[Rule], hit: bool) -> None:
    assert denied(named("report.exe"), *rules) is hit


def test_an_allowed_object_leaves_the_others_to_be_checked() -> None:
    allow: Rule = ("ALLOW", "FILENAME", "^good")
    data = mixed(attached(b"1", "attachment; filename=good.exe"), attached(b"2", "attachment; filename=bad.exe"))
    assert [finding.reason.split(":")[0] for finding in found(data, allow, NO_EXE)] == ["bad.exe", "good.exe"]
    assert symbols(found(data, allow, NO_EXE)) == ["ATTACHMENT_DENIED", "ATTACHMENT_ALLOWED"]


def test_an_allowed_archive_does_not_allow_its_members() -> None:
    rules: list[Rule] = [("ALLOW", "FILENAME", r"\.zip$"), ("DENY", "ARCHIVE_FILENAME", r"\.exe$")]
    assert denied(named("a.zip", zipped(run__exe=EXE)), *rules)


# Threat 45: what different readers make of a name (RFC 2231, RFC 2047, duplicates).
TWO_NAMES = [
    "attachment; filename=safe.txt; filename*=UTF-8''evil.exe",
    "attachment; filename*=UTF-8''evil.exe; filename=safe.txt",
    "attachment; filename=safe.txt; filename=evil.exe",
    "attachment; filename=evil.exe; filename=safe.txt",
    "attachment; filename*0=safe; filename*1=.exe; filename=safe.txt",
    "attachment; filename*0*=UTF-8''evil; filename*1*=%2Eexe",
    'attachment; filename="=?utf-8?q?evil=2Eexe?="',
    'attachment; filename="=?utf-8?b?ZXZpbC5leGU=?="',
    'attachment; filename="evil\\.exe"',
    "attachment; filename=safe.txt\r\nContent-Type: application/octet-stream; name=evil.exe",
    "attachment; filename=safe.txt\r\nContent-Disposition: attachment; filename=evil.exe",
]


@pytest.mark.parametrize("disposition", TWO_NAMES)
def test_threats_45_and_46_a_deny_rule_hits_if_any_reading_of_the_name_does(disposition: str) -> None:
    assert denied(mixed(attached(b"x", disposition)), NO_EXE)


@pytest.mark.parametrize("disposition", TWO_NAMES[:4])
def test_threat_45_an_allow_rule_counts_only_if_all_readings_do(disposition: str) -> None:
    assert denied(mixed(attached(b"x", disposition)), ("ALLOW", "FILENAME", r"\.txt$"), ("DENY", "FILENAME", "."))
    both: Rule = ("ALLOW", "FILENAME", r"\.(txt|exe)$")
    assert not denied(mixed(attached(b"x", disposition)), both, ("DENY", "FILENAME", "."))


@pytest.mark.parametrize(
    "name",
    [
        "evil.exe ",
        "evil.exe.",
        "evil.exe::$DATA",
        "evil\u202e.exe",
        "evil.e\u200bxe",
        "evil.ｅｘｅ",
        "evil.exe\x00.txt",
    ],
)
def test_threat_47_disguised_names_are_normalised_and_shown_escaped(name: str) -> None:
    coded = "".join(f"%{octet:02X}" for octet in name.encode())
    findings = found(mixed(attached(b"x", f"attachment; filename*=utf-8''{coded}")), NO_EXE)
    assert symbols(findings) == ["ATTACHMENT_DENIED"]
    assert findings[0].reason.isprintable()
    assert "\u202e" not in findings[0].reason


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (named("x.exe", PNG, "image/png"), "image/png"),
        (named("x.exe", PNG, "application/octet-stream"), "image/png"),
        (named("x.png", EXE, "image/png"), "dosexec|portable-executable"),
        (plain(b"<p>", b"Content-Type: text/html\r\n"), "text/html"),
        (mixed(attached(PNG, "attachment")), "image/png"),
    ],
    ids=["declared", "sniffed", "wrong extension", "body", "nameless"],
)
def test_threat_48_content_types_are_the_declared_and_the_sniffed(data: bytes, rule: str) -> None:
    assert denied(data, ("DENY", "CONTENTTYPE", rule))
    assert not denied(data, ("DENY", "CONTENTTYPE", "video/mp4"))


def test_threat_48_an_allowed_type_must_be_the_declared_and_the_sniffed_one() -> None:
    rules: list[Rule] = [("ALLOW", "CONTENTTYPE", "^image/"), ("DENY", "FILENAME", ".")]
    assert not denied(named("a.png", PNG, "image/png"), *rules)
    assert denied(named("a.png", EXE, "image/png"), *rules)


XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def test_contract_a66_a_type_is_also_known_by_its_usual_extension() -> None:
    data = named("table", b"\x00\x01\x02 data", XLSX)
    assert denied(data, ("DENY", "CONTENTTYPE", r"\.xlsx"))
    assert not denied(data, ("DENY", "FILENAME", r"\.xlsx"))
    assert not denied(named("table", b"\x00\x01\x02 data"), ("DENY", "CONTENTTYPE", r"\.(exe|bin|dll|so)$"))


def test_a_nameless_attachment_gets_the_name_that_its_type_suggests() -> None:
    data = mixed(attached(b"\x00\x01\x02 data", "attachment", "application/x-msdownload"))
    assert denied(data, NO_EXE)


def test_container_types_are_no_object_but_attached_mails_are() -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\n" + plain()
    assert denied(mixed(inner), ("DENY", "CONTENTTYPE", "message/rfc822"))
    assert not denied(mixed(inner), ("DENY", "CONTENTTYPE", "multipart"))


def test_threat_52_files_in_attached_mails_are_reached() -> None:
    data = named("run.exe")
    for _ in range(20):
        data = mixed(b"Content-Type: message/rfc822\r\n\r\n" + data)
    (finding,) = found(data, NO_EXE)
    assert "run.exe" in finding.reason
    assert len(finding.reason) <= 200


@pytest.mark.parametrize(
    ("rule", "hit"),
    [
        (("DENY", "ARCHIVE_FILENAME", r"\.exe$"), True),
        (("DENY", "ARCHIVE_CONTENTTYPE", "dosexec|portable-executable"), True),
        (("DENY", "ARCHIVE_CONTENTTYPE", r"\.exe"), True),
        (("DENY", "ARCHIVE_FILENAME", r"\.scr$"), False),
        (("DENY", "FILENAME", r"\.exe$"), False),
        (("DENY", "CONTENTTYPE", "dosexec"), False),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_members_of_archives_have_rules_of_their_own(rule: Rule, hit: bool, nested: bool) -> None:
    archive = zipped(readme__txt=b"Hello", run__exe=EXE)
    data = named("a.zip", zipped(inner__zip=archive) if nested else archive, "application/zip")
    findings = found(data, rule)
    assert bool(findings) is hit
    if hit:
        path = "a.zip > inner.zip > run.exe" if nested else "a.zip > run.exe"
        assert findings[0].reason.startswith(f"{path}: forbidden by the rule")


def test_a_folder_in_an_archive_is_no_file() -> None:
    data = named("a.zip", zipped(**{"my__exe/": b"", "my__exe/readme__txt": b"Hello"}))
    assert not denied(data, ("DENY", "ARCHIVE_FILENAME", r"\.exe/?$"))


def locked() -> bytes:
    """Return a zip archive whose member claims to be encrypted."""
    data = bytearray(zipped(secret__exe=b"x" * 50))
    data[6] |= 1
    data[data.find(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("treatment", "category", "hold"),
    [
        ("hold", Category.BAD_ATTACHMENT, True),
        ("reject", Category.BAD_ATTACHMENT, False),
        ("deliver", Category.NOTE, None),
    ],
)
def test_threat_56_encrypted_archives_are_treated_as_set_and_their_names_still_count(
    treatment: str, category: Category, hold: bool | None
) -> None:
    data = named("a.zip", locked())
    (finding,) = found(data, encrypted=treatment)
    assert (finding.category, finding.symbol, finding.hold) == (category, "ENCRYPTED", hold)
    assert finding.reason == "a.zip: needs a password"
    assert "ATTACHMENT_DENIED" in symbols(found(data, ("DENY", "ARCHIVE_FILENAME", r"\.exe$"), encrypted=treatment))


@pytest.mark.parametrize(
    ("options", "category", "hold"),
    [
        ({}, Category.NOTE, None),
        ({"macros": "hold"}, Category.BAD_ATTACHMENT, True),
        ({"macros": "reject"}, Category.BAD_ATTACHMENT, False),
    ],
)
def test_macros_are_noted_and_can_be_forbidden_by_an_option(
    options: dict[str, str], category: Category, hold: bool | None
) -> None:
    data = named("a.doc", compound({"Macros/VBA/dir": b"x"}), "application/msword")
    (finding,) = found(data, **options)
    assert (finding.category, finding.symbol, finding.hold) == (category, "MACROS", hold)
    assert finding.reason == "a.doc: has macros"
    inner = named("a.zip", zipped(a__doc=compound({"Macros/VBA/dir": b"x"})), "application/zip")
    assert found(inner, **options)[0].reason == "a.zip > a.doc: has macros"


def test_macros_can_be_forbidden_by_a_rule_for_types() -> None:
    document = compound({"Macros/VBA/dir": b"x"})
    assert denied_by(named("a.doc", document), ("DENY", "CONTENTTYPE", "vbaproject"))
    assert denied_by(named("a.zip", zipped(a__doc=document)), ("DENY", "ARCHIVE_CONTENTTYPE", "vbaproject"))
    assert not denied_by(named("a.doc", compound({"WordDocument": b"x"})), ("DENY", "CONTENTTYPE", "vbaproject"))


def denied_by(data: bytes, rule: Rule) -> bool:
    return "ATTACHMENT_DENIED" in symbols(found(data, rule))


@pytest.mark.parametrize(
    ("treatment", "category", "hold"),
    [
        ("hold", Category.BAD_ATTACHMENT, True),
        ("reject", Category.BAD_ATTACHMENT, False),
        ("deliver", Category.NOTE, None),
    ],
)
def test_threats_54_and_59_what_cannot_be_looked_into_is_treated_as_set(
    treatment: str, category: Category, hold: bool | None
) -> None:
    cut = named("a.zip", zipped(a__txt=bytes(range(256)) * 40)[:200], "application/zip")
    findings = found(cut, unscannable=treatment)
    assert {(one.category, one.symbol, one.hold) for one in findings} == {(category, "UNSCANNABLE", hold)}
    assert any("a.zip" in one.reason for one in findings)


def test_threat_55_a_bomb_is_beyond_our_sight_and_held() -> None:
    findings = found(named("a.zip", zipped(zeros__bin=b"\x00" * 30_000_000), "application/zip"))
    assert {(one.symbol, one.hold) for one in findings} == {("UNSCANNABLE", True)}


@pytest.mark.parametrize(
    ("kind", "symbol"),
    [
        ('message/partial; id="a@b"; number=1; total=2', "MESSAGE_PARTIAL"),
        ('message/external-body; access-type=URL; URL="http://x.test/"', "MESSAGE_EXTERNAL_BODY"),
    ],
)
def test_threat_53_pieces_and_pointers_are_refused_unless_set_otherwise(kind: str, symbol: str) -> None:
    data = HEADER + f"Content-Type: {kind}\r\n\r\n".encode() + plain()
    assert [(one.symbol, one.hold) for one in found(data)] == [(symbol, False)]
    assert [(one.symbol, one.hold) for one in found(data, fragments="hold")] == [(symbol, True)]
    assert [one.category for one in found(data, fragments="deliver")] == [Category.NOTE]


def test_a_stored_rule_that_the_engine_refuses_is_an_error_and_not_a_pass() -> None:
    with pytest.raises(ValueError, match="unexpected"):
        found(named("a.txt"), ("DENY", "FILENAME", "a)(b"), ("DENY", "FILENAME", "("))


def test_rules_with_an_open_quote_do_not_hide_their_neighbours() -> None:
    rules: list[Rule] = [("DENY", "FILENAME", r"\Qa+b"), ("DENY", "FILENAME", r"\Qc.exe\E$")]
    assert denied(named("c.exe"), *rules)
    assert denied(named("a+b"), *rules)


def test_findings_of_a_huge_archive_are_told_in_part() -> None:
    data = named("a.zip", zipped(**{f"n{number}__exe": b"" for number in range(200)}))
    assert len(found(data, ("DENY", "ARCHIVE_FILENAME", r"\.exe$"))) == 20


def test_five_hundred_rules_over_thousands_of_members_do_not_stall_other_mail() -> None:
    letter = mail(named("a.zip", zipped(**{f"file{number}__txt": b"" for number in range(5000)})))
    rules = attachment_rules(*(("DENY", "ARCHIVE_FILENAME", rf"^bad{number}\.(exe|scr)$") for number in range(500)))
    attachments, to = make("attachments"), recipient(rules)

    async def turns_of_others() -> int:
        await letter.anatomy()
        asking = asyncio.ensure_future(attachments.examine(letter, to))
        turns = 0
        while not asking.done():
            await asyncio.sleep(0)
            turns += 1
        assert list(await asking) == []
        return turns

    assert run(turns_of_others()) >= 10  # one for each 500 members


def test_a_finding_says_what_the_next_rule_would_come_to() -> None:
    (denied,) = found(named("evil.exe"), NO_EXE, ("DENY", "FILENAME", "evil"), ("ALLOW", "CONTENTTYPE", "octet"))
    assert denied.instead is not None
    assert (denied.instead.symbol, denied.instead.rule_id) == ("ATTACHMENT_DENIED", 2)
    assert denied.instead.instead is not None
    assert denied.instead.instead.symbol == "ATTACHMENT_ALLOWED"
