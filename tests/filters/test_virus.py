"""EICAR, and the list of SHA-256 sums."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest
from tests.filters.mails import ask, attached, mail, make, mixed, plain, recipient, run, symbols, zipped

from gatepost.filters.virus import EICAR
from gatepost.model.verdict import Category

BAD = b"a file that is on the list" * 9
SUM = hashlib.sha256(BAD).hexdigest()


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (plain(EICAR + b"\r\n"), ""),
        (plain(b"Hello\r\n" + EICAR + b"\r\n"), ""),
        (mixed(attached(EICAR, 'attachment; filename="eicar.com"')), "eicar.com"),
        (mixed(attached(EICAR)), "part 1"),
        (mixed(attached(zipped(eicar__com=EICAR), 'attachment; filename="a.zip"')), "a.zip > eicar.com"),
        (mixed(attached(zipped(b__zip=zipped(e__com=EICAR)), 'attachment; filename="a.zip"')), "a.zip > b.zip > e.com"),
        (
            mixed(b"Content-Type: message/rfc822\r\n\r\n" + mixed(attached(EICAR, 'inline; filename="e.com"'))),
            "(message/rfc822) > e.com",
        ),
    ],
    ids=["body", "in body", "file", "nameless", "zip", "zip in zip", "mail in mail"],
)
def test_eicar_is_found_and_its_place_named(data: bytes, where: str) -> None:
    findings = ask(make("virus"), data)
    assert {(finding.category, finding.symbol) for finding in findings} == {(Category.VIRUS, "EICAR")}
    assert any(where in finding.reason for finding in findings)


def test_a_clean_mail_is_clean() -> None:
    assert ask(make("virus"), mixed(b"\r\nHello\r\n", attached(b"EICAR-STANDARD", "attachment; filename=a.txt"))) == []


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "sums.txt"
    path.write_text(f"# bad files\n\n{SUM.upper()}  evil.exe\n{'0' * 64}\n")
    return path


def test_a_listed_file_is_found_in_a_part_and_in_an_archive(sums: Path) -> None:
    data = mixed(
        attached(BAD, "attachment; filename=x.bin"), attached(zipped(y__bin=BAD), "attachment; filename=z.zip")
    )
    findings = ask(make("virus", sums_file=str(sums)), data)
    assert symbols(findings) == ["SHA256_LISTED"] * 2
    assert [finding.reason.split(":")[0] for finding in findings] == ["x.bin", "z.zip > y.bin"]
    assert all(SUM in finding.reason for finding in findings)


def test_the_list_is_read_again_when_it_changes(sums: Path) -> None:
    virus, data = make("virus", sums_file=str(sums)), mixed(attached(b"new", "attachment; filename=n.bin"))
    assert ask(virus, data) == []
    sums.write_text(hashlib.sha256(b"new").hexdigest() + "\n")
    assert symbols(ask(virus, data)) == ["SHA256_LISTED"]


def test_a_list_that_goes_bad_leaves_the_last_good_one_in_force(sums: Path) -> None:
    virus, data = make("virus", sums_file=str(sums)), mixed(attached(BAD, "attachment; filename=x.bin"))
    good = sums.read_text()
    sums.write_text("not a sum\n")
    for _ in range(2):
        stale, listed = ask(virus, data)
        assert (stale.category, stale.symbol) == (Category.NOTE, "SUMS_STALE")
        assert "line 1 is no SHA-256 sum" in stale.reason
        assert listed.symbol == "SHA256_LISTED"
    sums.write_text(good + "# better\n")
    assert symbols(ask(virus, data)) == ["SHA256_LISTED"]


def test_a_list_that_goes_away_and_comes_back_is_read_again(sums: Path) -> None:
    virus, data = make("virus", sums_file=str(sums)), mixed(attached(BAD, "attachment; filename=x.bin"))
    away = sums.with_suffix(".away")
    sums.rename(away)
    assert symbols(ask(virus, data)) == ["SUMS_STALE", "SHA256_LISTED"]
    away.rename(sums)
    assert symbols(ask(virus, data)) == ["SHA256_LISTED"]


def test_a_list_is_not_read_for_each_mail(sums: Path) -> None:
    virus, data = make("virus", sums_file=str(sums)), mixed(attached(BAD, "attachment; filename=x.bin"))
    facts = sums.stat()
    sums.write_text("x" * facts.st_size)  # the same size and, below, the same time: as if untouched
    os.utime(sums, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert symbols(ask(virus, data)) == ["SHA256_LISTED"]


def test_several_mails_at_once_read_a_changed_list_once(sums: Path) -> None:
    virus = make("virus", sums_file=str(sums))
    sums.write_text(f"{SUM}\n")

    async def together() -> list[list[str]]:
        letters = [mail(mixed(attached(BAD, "attachment; filename=x.bin"))) for _ in range(5)]
        found = await asyncio.gather(*(virus.examine(letter, recipient()) for letter in letters))
        return [symbols(list(findings)) for findings in found]

    assert run(together()) == [["SHA256_LISTED"]] * 5


@pytest.mark.parametrize("name", ["evil\x1b[31m\r\n.exe", "\u202eexe.evil", "x" * 500 + ".exe"])
def test_threat_73_hostile_names_are_escaped_and_short(name: str) -> None:
    coded = "".join(f"%{octet:02X}" for octet in name.encode())
    findings = ask(make("virus"), mixed(attached(EICAR, f"attachment; filename*=utf-8''{coded}")))
    assert findings
    assert all(finding.reason.isprintable() and len(finding.reason) <= 200 for finding in findings)
