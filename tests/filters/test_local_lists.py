"""Lists that an administrator keeps in files: what stands on them, and how they are read again."""

from pathlib import Path
from typing import Any

import pytest
from tests.filters.mails import TOOLS, mail, plain, recipient, run
from tests.steps import steps

from gatepost.filters.entries import read_entries
from gatepost.filters.registry import Filter, Tools, load
from gatepost.message.mail import Mail
from gatepost.model.address import Address
from gatepost.model.auth import AuthResults, Dmarc, Result, Spf
from gatepost.model.envelope import Client
from gatepost.model.verdict import Category, Finding, OnError
from gatepost.settings import Filters, Limits, SettingsError

ENTRIES = """\
# bad ones
Evil.test            # and all below it
evil.com
*.wild.test
b\u00fccher.example
.zip
http://free.test/~Bad/
203.0.113.0/28
2001:db8::/32
mallory@mixed.test
"""


def lists(path: Path, **options: Any) -> Filter:
    one = {"file": str(path), "symbol": "LISTED", "weight": 3.0, **options}
    return next(
        each for each in load(Filters(options={"local_lists": {"lists": [one]}}), TOOLS) if each.name == "local_lists"
    )


def found(one: Filter, asked: Mail) -> list[Finding]:
    async def go() -> list[Finding]:
        return list(await one.examine(asked, recipient()))

    return run(go())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bad"
    path.write_text(ENTRIES, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("link", "hit"),
    [
        ("http://evil.test/", True),
        ("http://www.EVIL.test:80/x", True),
        ("http://notevil.test/", False),
        ("http://a.wild.test/", True),
        ("http://xn--bcher-kva.example/", True),
        ("http://report.zip/", True),
        ("http://free.test/~Bad/page?x=1", True),
        ("http://free.test/%7EBad/", True),
        ("http://free.test/~bad/", False),
        ("http://free.test/", False),
        ("http://203.0.113.9/", True),
        ("http://0xcb.0.0x7109/", True),
        ("http://203.0.113.16/", False),
        ("http://[2001:db8::1]/", True),
        ("http://mixed.test/", False),
        ("evil.com", True),
        ("ann@evil.com", False),
        ("report.zip", False),
    ],
)
def test_a_link_is_held_against_domains_hosts_urls_and_networks(file: Path, link: str, hit: bool) -> None:
    assert bool(found(lists(file), mail(plain(f"see {link}\r\n".encode())))) is hit


def test_a_finding_says_what_is_on_which_list(file: Path) -> None:
    data = plain(b"http://a.evil.test/ http://free.test/~Bad/x\r\n")
    (finding,) = found(lists(file, description="our list"), mail(data))
    assert (finding.symbol, finding.category, finding.score) == ("LISTED", Category.SCORE, 3.0)
    assert finding.reason == "a.evil.test (and 1 more) is on our list"


@pytest.mark.parametrize(
    ("options", "members", "category"),
    [
        ({"of": "client", "action": "block"}, {"client": Client(ip="203.0.113.3")}, Category.BLOCKED),
        ({"of": "client", "action": "allow"}, {"client": Client(ip="2001:db8::3")}, Category.ALLOWED),
        ({"of": "client"}, {"client": Client(ip="::ffff:203.0.113.3")}, Category.SCORE),
        ({"of": "client"}, {"client": Client(ip="192.0.2.1")}, None),
        ({"of": "client"}, {"client": Client(ip="")}, None),
        ({"of": "sender", "action": "block"}, {"sender": Address("x", "sub.evil.test")}, Category.BLOCKED),
        ({"of": "sender"}, {"sender": Address("mallory", "mixed.test")}, Category.SCORE),
        ({"of": "sender"}, {"sender": Address("alice", "mixed.test")}, None),
        ({"of": "sender", "action": "allow"}, {"sender": Address("x", "evil.test")}, Category.NOTE),
    ],
)
def test_client_and_sender_are_held_against_lists_too(
    file: Path, options: dict[str, Any], members: dict[str, Any], category: Category | None
) -> None:
    said = found(lists(file, **options), mail(plain(), **members))
    assert [each.category for each in said] == ([] if category is None else [category])


def test_a_sender_that_is_proven_is_let_through_by_a_list(file: Path) -> None:
    spf = Spf(result=Result.PASS, domain="evil.test")
    auth = AuthResults(mail_from=spf, helo=spf, dmarc=Dmarc(result=Result.PASS), proven=True, sender_proven=True)
    asked = mail(plain(), auth, sender=Address("x", "evil.test"))
    assert [each.category for each in found(lists(file, of="sender", action="allow"), asked)] == [Category.ALLOWED]


def test_whether_a_list_lets_a_sender_through_is_left_open_while_dns_does_not_say_whether_he_is_proven(
    file: Path,
) -> None:
    spf = Spf(result=Result.TEMPERROR, domain="evil.test")
    auth = AuthResults(mail_from=spf, helo=spf, dmarc=Dmarc(result=Result.TEMPERROR), unsure=True)
    asked = mail(plain(), auth, sender=Address("x", "evil.test"))
    (one,) = found(lists(file, of="sender", action="allow"), asked)
    assert (one.category, one.on_error) == (Category.ALLOWED, OnError.DEFER)


def test_a_changed_file_counts_at_the_next_mail_and_one_that_is_gone_leaves_its_last_state(file: Path) -> None:
    one, asked = lists(file), mail(plain(b"http://new.test/ http://evil.test/\r\n"))
    assert "evil.test" in found(one, asked)[0].reason
    file.write_text("new.test\n")
    assert "new.test" in found(one, asked)[0].reason
    file.unlink()
    note, hit = found(one, asked)
    assert (note.symbol, note.category) == ("LOCAL_LIST_STALE", Category.NOTE)
    assert "new.test" in hit.reason
    file.write_text("evil.test\n")
    assert "evil.test" in found(one, asked)[0].reason


@pytest.mark.parametrize("first", ["192.0.2.0/24", "# a comment", "evil.test"])
def test_a_list_may_begin_with_a_mark_of_utf_8_and_end_its_lines_as_windows_does(file: Path, first: str) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + first.encode() + b"\r\nevil.test\r\n198.51.100.0/24\r\n")
    entries = read_entries(file)
    assert not entries.bad
    assert entries.has_host("evil.test")
    assert entries.has_ip("198.51.100.1")
    assert entries.has_ip("192.0.2.1") == (first == "192.0.2.0/24")


def test_bad_lines_are_named_and_the_others_count(file: Path) -> None:
    file.write_text("good.test\nnonsense\n10.0.0.0/99\nalso good.test\nhttp:///x\n")
    told: list[tuple[str, str, str]] = []
    tools = Tools(limits=Limits(), resolver=TOOLS.resolver, alarm=lambda *said: told.append(said))
    options = {"local_lists": {"lists": [{"file": str(file), "symbol": "LISTED", "weight": 1.0}]}}
    (one,) = [each for each in load(Filters(options=options), tools) if each.name == "local_lists"]
    assert found(one, mail(plain(b"http://good.test/\r\n")))
    ((source, why, text),) = told
    assert (source, why) == (str(file), "lines")
    assert all(f"line {number}: " in text for number in (2, 3, 4, 5))
    assert "line 1" not in text


def test_hostile_lines_and_many_urls_of_one_host_take_no_time(file: Path) -> None:
    pages = "".join(f"http://free.test/{number}\n" for number in range(5_000))
    file.write_text(f"{':' * 50_000}x\n{'a.' * 50_000}!\nhttp://{'a' * 50_000}.test/\n\0\n{pages}")
    entries = read_entries(file)
    assert len(entries.bad) == 4
    assert all(entries.has_url("free.test", f"http://free.test/{number}/x") for number in range(5_000))
    assert not any(entries.has_url("free.test", f"http://free.test/x{number}") for number in range(5_000))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"file": "/no/such"}, "filters.local_lists.lists: .*No such file"),
        ({"symbol": "low"}, "symbol 'low' is not UPPER_SNAKE"),
        ({"weight": 0}, "a list that scores needs a weight"),
        ({"action": "allow"}, "anybody can write a link"),
    ],
)
def test_a_list_that_makes_no_sense_stops_the_start(file: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        lists(file, **options)


def test_threat_61_a_mail_takes_no_more_steps_against_many_entries(file: Path) -> None:
    asked = mail(plain(b"".join(b"http://a.b.c%d.test/x\r\n" % number for number in range(200))))
    run(asked.anatomy())

    def work(count: int) -> int:
        file.write_text("".join(f"host{number}.listed{number % 977}.test\n" for number in range(count)))
        one = lists(file)
        assert not found(one, asked)
        return steps(lambda: found(one, asked))

    assert work(5000) < 1.2 * work(50)
