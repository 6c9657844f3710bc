"""Links and the domain's lists of hosts."""

import pytest
from tests.filters.mails import NOW, ask, attached, mail, make, mixed, plain, recipient, run, symbols, zipped
from tests.steps import steps

from gatepost.model.rules import RuleSet, UriAction, UriRule
from gatepost.model.verdict import Category, Finding

SKIP, WELCOME, BLOCK = UriAction.URIDNSBL_SKIP_DOMAIN, UriAction.WHITELIST_URI_HOST, UriAction.BLACKLIST_URI_HOST
HTML = b"Content-Type: text/html; charset=utf-8\r\n"


def rules(*pairs: tuple[UriAction, str]) -> RuleSet:
    return RuleSet(
        uris=tuple(
            UriRule(id=number, domain_id=1, action=action, filter=host, priority=number, created_date=NOW)
            for number, (action, host) in enumerate(pairs, 1)
        )
    )


def found(text: bytes, *pairs: tuple[UriAction, str], header: bytes = b"") -> list[Finding]:
    return ask(make("uris"), plain(text, header), rules(*pairs))


def points(text: bytes, *pairs: tuple[UriAction, str], header: bytes = b"") -> float:
    return sum(finding.score for finding in found(text, *pairs, header=header))


@pytest.mark.parametrize(
    ("action", "category", "symbol", "score"),
    [
        (WELCOME, Category.SCORE, "URI_HOST_IN_WELCOMELIST", -100),
        (BLOCK, Category.SCORE, "URI_HOST_IN_BLOCKLIST", 100),
        (SKIP, Category.NOTE, "URI_DNSBL_SKIPPED", 0),
    ],
)
def test_each_action_states_its_fact(action: UriAction, category: Category, symbol: str, score: float) -> None:
    (finding,) = found(b"See http://bad.example.test/x now\r\n", (action, "example.test"))
    assert (finding.category, finding.symbol, finding.score, finding.rule_id) == (category, symbol, score, 1)
    assert "bad.example.test" in finding.reason


@pytest.mark.parametrize(
    ("host", "hit"),
    [
        ("example.test", True),
        ("EXAMPLE.test", True),
        ("a.b.example.test", True),
        ("notexample.test", False),
        ("example.test.evil.test", False),
        ("test", False),
    ],
)
def test_a_host_matches_with_its_subdomains_and_nothing_else(host: str, hit: bool) -> None:
    assert bool(points(f"http://{host}/\r\n".encode(), (BLOCK, "example.test"))) is hit


@pytest.mark.parametrize("spelling", ["Example.Test", "*.example.test", ".example.test", "example.test."])
def test_usual_spellings_of_a_rule_mean_the_same(spelling: str) -> None:
    assert points(b"http://www.example.test/\r\n", (BLOCK, spelling)) == 100


def test_a_symbol_counts_once_and_names_how_many_hosts_more_there_are() -> None:
    text = b"http://a.bad.test/ http://b.bad.test/ http://b.bad.test/again http://c.bad.test/\r\n"
    (finding,) = found(text, (BLOCK, "bad.test"))
    assert finding.score == 100
    assert "a.bad.test (and 2 more)" in finding.reason


def test_of_the_rules_for_a_host_the_first_by_priority_decides() -> None:
    text = b"http://www.shop.test/\r\n"
    assert points(text, (WELCOME, "www.shop.test"), (BLOCK, "shop.test")) == -100
    assert points(text, (BLOCK, "shop.test"), (WELCOME, "www.shop.test")) == 100


def test_a_rule_that_spares_look_ups_leaves_the_points_alone() -> None:
    findings = found(b"http://www.shop.test/\r\n", (SKIP, "shop.test"), (BLOCK, "shop.test"))
    assert sorted(symbols(findings)) == ["URI_DNSBL_SKIPPED", "URI_HOST_IN_BLOCKLIST"]


def test_welcome_and_blocked_hosts_in_one_mail_both_count() -> None:
    assert points(b"http://good.test/ http://bad.test/\r\n", (WELCOME, "good.test"), (BLOCK, "bad.test")) == 0


@pytest.mark.parametrize(
    ("text", "header"),
    [
        (b"http://BAD.test./x\r\n", b""),
        (b"http://good.test@bad.test/\r\n", b""),
        (b"hxxp://bad[.]test/\r\n", b""),
        (b"http://=62ad.test/\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n"),
        (b"aHR0cDovL2JhZC50ZXN0Lw==\r\n", b"Content-Transfer-Encoding: base64\r\n"),
        (b'<a href="http://&#98;ad.test/">x</a>\r\n', HTML),
        (b'<a href="https://good.test/go?url=http%3A%2F%2Fbad.test%2F">x</a>\r\n', HTML),
    ],
)
def test_threat_61_a_disguised_link_is_held_against_the_list(text: bytes, header: bytes) -> None:
    assert points(text, (BLOCK, "bad.test"), header=header) == 100


def test_threat_61_a_bare_host_is_held_against_the_list() -> None:
    assert points(b"visit www1.bad.com or Bad.com today\r\n", (BLOCK, "bad.com")) == 100
    assert points(b"write to ann@bad.com or read bad.com.txt\r\n", (BLOCK, "bad.com")) == 0


def test_threat_61_a_link_in_an_archive_is_held_against_the_list() -> None:
    page = zipped(page__html=b"<html><body><a href='http://bad.test/'>x</a></body></html>")
    letter = mixed(b"Content-Type: text/plain\r\n\r\nHello", attached(page, 'attachment; filename="a.zip"'))
    (finding,) = ask(make("uris"), letter, rules((BLOCK, "bad.test")))
    assert (finding.symbol, finding.seen) == ("URI_HOST_IN_BLOCKLIST", "http://bad.test/")


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1"])
def test_threat_61_an_address_is_one_host_in_every_spelling(host: str) -> None:
    assert points(f"http://{host}/\r\n".encode(), (BLOCK, "127.0.0.1")) == 100
    assert points(f"http://{host}/\r\n".encode(), (BLOCK, "0.0.1")) == 0


def test_threat_61_a_mail_takes_no_more_steps_with_many_rules() -> None:
    def work(count: int) -> int:
        many = rules(*((BLOCK, f"host{number}.test") for number in range(count)))
        uris, to = make("uris"), recipient(many)
        letter = mail(plain(f"http://www.host{count - 1}.test/\r\n".encode() + b"http://other.test/\r\n" * 50))
        run(letter.anatomy())
        run(uris.examine(letter, to))  # makes the index, once for a rule set
        return steps(lambda: run(uris.examine(letter, to)))

    assert work(5000) < 1.2 * work(50)


def test_a_changed_rule_set_is_read_anew() -> None:
    uris, data = make("uris"), plain(b"http://bad.test/\r\n")
    assert symbols(ask(uris, data, rules((BLOCK, "bad.test")))) == ["URI_HOST_IN_BLOCKLIST"]
    assert ask(uris, data, rules((BLOCK, "other.test"))) == []
    assert symbols(ask(uris, data, rules((WELCOME, "bad.test")))) == ["URI_HOST_IN_WELCOMELIST"]


def test_many_rule_sets_do_not_pile_up() -> None:
    uris, data = make("uris"), plain(b"http://bad.test/\r\n")
    for number in range(400):
        assert bool(ask(uris, data, rules((BLOCK, f"{number}.test"), (BLOCK, "bad.test"))))
    assert len(uris._indexes._kept) <= 256  # type: ignore[attr-defined]


def test_reasons_are_short_and_free_of_controls() -> None:
    text = b"http://" + b"a." * 100 + b"bad.test/" + b"\xe2\x80\xae" * 50 + b"\r\n"
    (finding,) = found(text, (BLOCK, "bad.test"), header=b"Content-Type: text/plain; charset=utf-8\r\n")
    assert finding.reason.isprintable()
    assert len(finding.reason) <= 200


def test_a_finding_says_what_the_rule_for_another_host_would_come_to() -> None:
    (finding,) = found(b"http://one.test/ http://two.test/\r\n", (BLOCK, "one.test"), (BLOCK, "two.test"))
    assert finding.rule_id == 1
    assert finding.instead is not None
    assert (finding.instead.rule_id, finding.instead.score) == (2, 100.0)


def test_a_finding_says_what_the_rule_for_a_domain_above_would_come_to() -> None:
    (finding,) = found(b"http://www.one.test/\r\n", (BLOCK, "www.one.test"), (BLOCK, "one.test"))
    assert finding.instead is not None
    assert (finding.instead.rule_id, finding.instead.score) == (2, 100.0)
    (blocked,) = found(b"http://www.one.test/\r\n", (BLOCK, "www.one.test"), (WELCOME, "one.test"))
    assert blocked.instead is not None
    assert (blocked.instead.rule_id, blocked.instead.score) == (2, -100.0)


def test_what_is_done_to_another_host_already_does_not_count_twice() -> None:
    text = b"http://www.one.test/ http://two.test/\r\n"
    blocked, welcome = found(text, (BLOCK, "www.one.test"), (WELCOME, "one.test"), (WELCOME, "two.test"))
    assert (blocked.score, blocked.instead) == (100.0, None)
    assert (welcome.score, welcome.rule_id) == (-100.0, 3)
