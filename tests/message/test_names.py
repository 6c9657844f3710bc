"""File names: what any client may read is in the set (threats 45-47)."""

import json

import pytest
from tests.message.mails import TESTDATA, mail, take_apart
from tests.steps import steps

from gatepost.message.names import NAMES_MAX, names, normal, parameters, values


def of(disposition: str, content_type: str = "") -> tuple[str, ...]:
    return names([disposition.encode()], [content_type.encode()] if content_type else []).all


@pytest.mark.conformance
def test_threat_45_the_set_holds_what_a_client_shows_in_all_70_mozilla_cases() -> None:
    path = TESTDATA / "mime-params-mozilla/files/content_disposition_rfc2231.json"
    assert path.is_file(), f"the cases are not at {path}; set GATEPOST_TESTDATA"
    cases = json.loads(path.read_text(encoding="utf-8"))
    assert len(cases) == 70
    missed = [
        case["id"] for case in cases if case["filename"] and case["filename"] not in of(case["content_disposition"])
    ]
    assert missed == []


@pytest.mark.parametrize(
    "disposition",
    [
        "attachment; filename=evil.exe",
        "attachment; filename=safe.txt; filename*=UTF-8''evil.exe",
        "attachment; filename*=UTF-8''safe.txt; filename=evil.exe",
        "attachment; filename=safe.txt; filename=evil.exe",
        "attachment; filename*0=ev; filename*1=il.exe",
        "attachment; filename*1=il.exe; filename*0=ev",
        "attachment; filename*0=ev; filename*2=il.exe",
        "attachment; filename*1=ev; filename*2=il.exe",
        "attachment; filename*0=safe; filename*0=ev; filename*1=il.exe",
        "attachment; filename*00=ev; filename*01=il.exe",
        "attachment; filename*0*=UTF-8''ev%69l; filename*1=.exe",
        "attachment; filename*=bogus''evil.exe",
        "attachment; filename*=''evil.exe",
        "attachment; filename*=UTF-8'evil.exe",
        'attachment; filename="evil.exe',
        'attachment; filename="evil.exe; size=3',
        'attachment; filename="ev\\il.exe"',
        'attachment; filename="evil".exe',
        'attachment; filename="x"; name="evil.exe"',
        'attachment; x="; filename=evil.exe',
        'attachment; x="a; filename=evil.exe"',
        "attachment filename=evil.exe",
        "attachment; a=b filename=evil.exe",
        "attachment; FILENAME = evil.exe",
        "attachment;\r\n\tfilename=\r\n evil.exe",
        "attachment; filename=evil(comment).exe",
        "attachment; filename=evil.exe anything",
        "attachment; filename=ev%69l.exe",
        "attachment; filename==?utf-8?Q?ev=69l.exe?=",
        'attachment; filename="=?utf-8?B?ZXZpbC5leGU=?="',
        'attachment; filename="=?iso-8859-1?Q?ev?= =?iso-8859-1?Q?il.exe?="',
        "attachment; filename*0==?utf-8?Q?ev=; filename*1=69l.exe?=",
        "attachment; filename='evil.exe'",
        "attachment; filename=<evil.exe>",
        "attachment; filename(a comment)=evil.exe",
        "attachment; filename*0*=utf-8''evil%2; filename*1*=Eexe",
        'attachment; filename="evil.\r\n exe"',
        'attachment; filename="evi\r\n\tl.exe"',
        'attachment; filename *0="ev"; filename *1="il.exe"',
    ],
)
def test_threats_45_and_46_one_of_the_readings_is_the_bad_name(disposition: str) -> None:
    assert "evil.exe" in of(disposition)


def test_a_name_that_was_folded_is_shown_with_its_blank() -> None:
    found = names([b'attachment;\r\n filename="my long\r\n report.pdf"'], [])
    assert found.shown == "my long report.pdf"
    assert found.all == ("my long report.pdf", "my longreport.pdf")


def test_threat_46_the_name_of_the_content_type_counts_too() -> None:
    assert {"safe.txt", "evil.exe"} <= set(of("attachment; filename=safe.txt", "text/plain; name=evil.exe"))


@pytest.mark.parametrize(
    "name",
    [
        "evil.exe ",
        "evil.exe.",
        "evil.exe. . ",
        "evil.exe::$DATA",
        "evil.exe/",
        "evil.exe:stream",
        "\u202eevil.exe",
        "ev\u202eil.exe",
        "ev\u200bil.e\u200dxe",
        "\uff45\uff56\uff49\uff4c\uff0e\uff45\uff58\uff45",
        "evil.exe\0.txt",
        "ev\0il.exe",
        "../../evil.exe",
        "C:\\temp\\evil.exe",
        "/etc/evil.exe",
        ' "evil.exe" ',
        "ev\ufeffil.exe",
        "ev\u034fil.exe\ufe0f",
        "evil.exe\u3164\u2800\U000e0100",
    ],
)
def test_threat_47_a_disguised_name_has_its_plain_form(name: str) -> None:
    found = normal([name])
    assert "evil.exe" in found.all
    assert name in found.all


def test_a_plain_name_has_no_other_form() -> None:
    assert of('attachment; filename="Report 2026 (final).pdf"') == ("Report 2026 (final).pdf",)
    assert names([b"inline"], [b"text/plain; charset=utf-8"]).all == ()


def test_a_name_in_several_charsets_has_each_reading() -> None:
    assert {"\u00e4.exe", "\u00c3\u00a4.exe"} <= set(of("attachment; filename*=ISO-8859-1''%c3%a4.exe"))
    assert "\u00e4.exe" in names([b"attachment; filename=\xe4.exe"], []).all
    assert "\u00e4.exe" in names([b"attachment; filename=\xc3\xa4.exe"], []).all


def test_ordinary_parameters_have_their_readings_in_order() -> None:
    found = parameters(b'text/plain; charset="utf-8"; charset=koi8-r')
    assert values(found, "charset") == ["utf-8", "koi8-r"]


HOSTILE = {
    "4,000 parameters": b"attachment" + b"".join(b"; name%d=%d" % (i, i) for i in range(4000)),
    "4,000 names": b"attachment" + b"".join(b"; filename=a%d.txt" % i for i in range(4000)),
    "4,000 continuations": b"attachment" + b"".join(b"; filename*%d=a" % i for i in range(4000)),
    "4,000 of one number": b"attachment; filename*0=a" * 4000,
    "4,000 encoded ones": b"attachment" + b"".join(b"; filename*%d*=%%41" % i for i in range(4000)),
    "4,000 words": b'attachment; filename="' + b"=?utf-8?B?YWFh?= " * 4000 + b'"',
    "quotes": b'attachment; filename="a";x="' * 4000,
    "backslashes": b'attachment; filename="' + b'\\"' * 20_000,
    "brackets": b"attachment; filename=" + b"(" * 20_000,
    "blanks": b"attachment; filename" + b" " * 20_000 + b"x",
    "semicolons": b"attachment; " + b"; " * 20_000,
    "no values": b"attachment; " + b"name " * 20_000,
}


@pytest.mark.parametrize("field", HOSTILE.values(), ids=HOSTILE)
def test_threat_f7_names_take_work_linear_in_the_field(field: bytes) -> None:
    assert steps(lambda: names([field], [])) < 10 * len(field)  # a quadratic one takes minutes


def test_a_long_gap_between_parameters_takes_linear_work() -> None:
    found = parameters(
        b"text/plain" + b";" * 100_000 + b' ;; charset="a;;b"; ;x=y'
    )  # in quadratic work it took a minute
    assert [(each.key, each.values[0]) for each in found] == [("charset", b"a;;b"), ("x", b"y")]


def test_more_names_than_are_looked_at_are_told() -> None:
    found = take_apart(mail(b"Content-Disposition: attachment" + many(1200) + b"\r\n\r\nx"))
    assert len(names([b"attachment" + many(NAMES_MAX + 1)], []).all) == NAMES_MAX
    assert found.unscannable == ("part 0 has more names than are looked into",)


def many(count: int) -> bytes:
    return b"".join(b";\r\n filename=f%d" % number for number in range(count))
