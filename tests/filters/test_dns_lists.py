"""Lists in DNS, asked of a real name server: what they say, how they refuse, and what is never believed."""

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import pytest
from tests.filters.mails import NO_RULES, NOW, mail, plain, recipient, run
from tests.peers.names import Fault, Names, Zone

from gatepost.dns import Resolver
from gatepost.events import Alarms, Metrics
from gatepost.filters.registry import Tools, load
from gatepost.model.envelope import Client, Login, Role
from gatepost.model.rules import RuleSet, UriAction, UriRule
from gatepost.model.verdict import Category, Finding
from gatepost.settings import Dns, Filters, Limits, SettingsError

ZEN = {
    "zone": "zen.test",
    "description": "Zen",
    "answers": [
        {"code": "127.0.0.2", "symbol": "ZEN_SBL", "weight": 4.0},
        {"code": "127.0.0.4-7", "symbol": "ZEN_XBL", "weight": 5.0, "description": "exploited hosts"},
    ],
}
MULTI = {
    "zone": "multi.test",
    "answers": [
        {"mask": 8, "symbol": "MULTI_PHISH", "weight": 6.0},
        {"mask": 64, "symbol": "MULTI_ABUSE", "weight": 3.0},
    ],
}
PUBLIC = Client(ip="8.8.4.9", helo="mx.bad.test", role=Role.MX)


class Asked:
    """What a filter found, which questions the server got, and which alarms were told."""

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.names: list[str] = []
        self.metrics = Metrics()

    @property
    def points(self) -> dict[str, float]:
        return {each.symbol: each.score for each in self.found}

    def alarms(self, source: str, why: str) -> float:
        return self.metrics.registry.get_sample_value("gatepost_alarms_total", {"source": source, "why": why}) or 0


def look(
    filter_name: str,
    zone: Zone,
    lists: Sequence[dict[str, Any]],
    *,
    text: bytes = b"Hello\r\n",
    rules: RuleSet = NO_RULES,
    client: Client = PUBLIC,
    mails: int = 1,
    timeout: float = 1.0,
    **options: Any,
) -> Asked:
    """Ask one filter about a mail, with a name server that has `zone`."""
    asked = Asked()

    async def go() -> None:
        async with Names(zone) as names:
            resolver = Resolver(Dns(servers=[names.address], timeout=timeout), lambda: NOW)
            alarm = Alarms(asked.metrics, lambda: NOW).tell
            tools = Tools(limits=Limits(), resolver=resolver, alarm=alarm)
            made = load(Filters(options={filter_name: {"zones": lists, **options}}), tools)
            (one,) = [each for each in made if each.name == filter_name]
            for _ in range(mails):
                asked.found = list(await one.examine(mail(plain(text), client=client), recipient(rules)))
            asked.names = [name for name, _, _ in names.asked]

    run(go())
    return asked


def test_a_listed_client_scores_by_the_code_of_the_answer_and_the_reason_names_list_name_and_answer() -> None:
    asked = look("dnsbl", {"9.4.8.8.zen.test": ["A 127.0.0.4", "A 127.0.0.2", "A 127.0.0.200"]}, [ZEN])
    assert asked.points == {"ZEN_SBL": 4.0, "ZEN_XBL": 5.0}
    (reason,) = [each.reason for each in asked.found if each.symbol == "ZEN_XBL"]
    assert reason == "8.8.4.9 is on Zen, exploited hosts: 9.4.8.8.zen.test is 127.0.0.4"


def test_an_address_of_ipv6_is_asked_about_in_nibbles() -> None:
    client = Client(ip="2001:4860:4860::9", role=Role.MX)
    label = ".".join(reversed("20014860486000000000000000000009"))
    assert look("dnsbl", {f"{label}.zen.test": ["A 127.0.0.2"]}, [ZEN], client=client).points == {"ZEN_SBL": 4.0}


def test_a_mapped_address_is_asked_about_as_what_it_stands_for() -> None:
    client = Client(ip="::ffff:8.8.4.9", role=Role.MX)
    assert look("dnsbl", {"9.4.8.8.zen.test": ["A 127.0.0.2"]}, [ZEN], client=client).points == {"ZEN_SBL": 4.0}


def test_a_list_that_vouches_takes_points_away_and_codes_may_have_wildcards() -> None:
    allow = {"zone": "wl.test", "answers": [{"code": "127.0.*.3", "symbol": "WL_HI", "weight": -5.0}]}
    assert look("dnsbl", {"9.4.8.8.wl.test": ["A 127.0.5.3"]}, [allow]).points == {"WL_HI": -5.0}


def test_of_answers_with_one_symbol_the_heaviest_counts_once() -> None:
    answers = [{"code": "127.0.0.2", "weight": 1.0}, {"code": "127.0.0.3", "weight": 3.0}]
    zone: Zone = {"9.4.8.8.bl.test": ["A 127.0.0.2", "A 127.0.0.3"]}
    assert look("dnsbl", zone, [{"zone": "bl.test", "answers": answers}]).points == {"BL_TEST": 3.0}


def test_a_list_without_answers_means_its_own_weight_and_its_symbol_is_its_name() -> None:
    zone: Zone = {"9.4.8.8.bl.test": ["A 127.0.0.9"]}
    assert look("dnsbl", zone, [{"zone": "bl.test", "weight": 2.5}]).points == {"BL_TEST": 2.5}
    part = {"zone": "bl.test", "symbol": "OURS", "weight": 1.5, "answers": [{"code": "127.0.0.9"}]}
    assert look("dnsbl", zone, [part]).points == {"OURS": 1.5}


def test_a_list_blocks_where_it_or_one_of_its_answers_says_so() -> None:
    zone: Zone = {"9.4.8.8.bl.test": ["A 127.0.0.2", "A 127.0.0.9"]}
    answers = [{"code": "127.0.0.2", "symbol": "OTHER", "weight": 1.0, "action": "score"}, {"code": "127.0.0.9"}]
    found = look("dnsbl", zone, [{"zone": "bl.test", "action": "block", "answers": answers}]).found
    assert {(each.symbol, each.category) for each in found} == {
        ("OTHER", Category.SCORE),
        ("BL_TEST", Category.BLOCKED),
    }
    answers = [{"code": "127.0.0.2", "weight": 9.0}, {"code": "127.0.0.9", "action": "block"}]
    (only,) = look("dnsbl", zone, [{"zone": "bl.test", "answers": answers}]).found
    assert (only.category, only.reason.split()[-1]) == (Category.BLOCKED, "127.0.0.9")


def test_senders_are_asked_about_by_domain_and_by_hash() -> None:
    hashed = hashlib.sha1(b"ann@a.test", usedforsecurity=False).hexdigest()
    zone: Zone = {
        "a.test.rhs.test": ["A 127.0.0.2"],
        "bad.test.rhs.test": ["A 127.0.0.2"],
        f"{hashed}.hbl.test": ["A 127.0.0.2"],
    }
    rhs = {"zone": "rhs.test", "kind": "domain", "of": ["sender", "from", "helo"], "weight": 1.0}
    asked = look("dnsbl", zone, [rhs, {"zone": "hbl.test", "kind": "hash", "hash": "sha1", "weight": 1.0}])
    assert asked.points == {"RHS_TEST": 1.0, "HBL_TEST": 1.0}
    assert "a.test (and 1 more) is on rhs.test" in asked.found[0].reason


@pytest.mark.parametrize(
    "client",
    [
        Client(ip="10.0.0.1"),
        Client(ip="::1"),
        Client(ip="8.8.4.9", role=Role.TRUSTED),
        Client(ip="8.8.4.9", role=Role.SUBMISSION, login=Login(1, 1, "ann@a.test")),
    ],
)
def test_of_our_own_people_and_of_private_addresses_nothing_is_asked(client: Client) -> None:
    asked = look("dnsbl", {"9.4.8.8.zen.test": ["A 127.0.0.2"]}, [ZEN], client=client)
    assert not asked.found
    assert not asked.names


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ({"9.4.8.8.zen.test": ["A 127.255.255.254"]}, "refused"),
        ({"9.4.8.8.zen.test": ["A 127.0.0.2", "A 127.255.255.252"]}, "refused"),
        ({"9.4.8.8.zen.test": ["A 127.0.0.1"]}, "refused"),
        ({"9.4.8.8.zen.test": ["A 127.0.0.99"]}, "refused"),
        ({"9.4.8.8.zen.test": ["A 203.0.113.80"]}, "foreign"),
        ({"9.4.8.8.zen.test": ["A 127.0.0.2"], "1.0.0.127.zen.test": ["A 127.0.0.2"]}, "everything"),
    ],
)
def test_threat_67_a_list_that_refuses_or_lists_everything_is_ignored_with_an_alarm(records: Zone, why: str) -> None:
    asked = look("dnsbl", records, [{**ZEN, "refusals": ["127.0.0.99"]}], mails=2)
    assert [(each.category, each.symbol) for each in asked.found] == [(Category.NOTE, "DNS_LIST_IGNORED")]
    assert "Zen" in asked.found[0].reason
    assert asked.alarms("zen.test", why) == 2


def test_one_bad_list_takes_nothing_from_the_others() -> None:
    zone: Zone = {"9.4.8.8.zen.test": ["A 127.255.255.254"], "9.4.8.8.bl.test": ["A 127.0.0.2"]}
    asked = look("dnsbl", zone, [ZEN, {"zone": "bl.test", "weight": 2.5}])
    assert asked.points == {"BL_TEST": 2.5, "DNS_LIST_IGNORED": 0.0}


@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.SERVFAIL])
def test_a_list_that_is_silent_says_nothing_and_holds_nothing_up(fault: Fault) -> None:
    zone: Zone = {"9.4.8.8.zen.test": [fault], "9.4.8.8.bl.test": ["A 127.0.0.2"]}
    asked = look("dnsbl", zone, [ZEN, {"zone": "bl.test", "weight": 2.5}], timeout=1.0, seconds=2.0)
    assert asked.points == {"BL_TEST": 2.5, "DNS_LIST_SILENT": 0.0}
    assert asked.found[-1].category is Category.NOTE


def test_answers_are_kept_so_that_the_next_mail_asks_nothing() -> None:
    asked = look("dnsbl", {"9.4.8.8.zen.test": ["A 127.0.0.2"]}, [ZEN], mails=3)
    assert sorted(asked.names) == ["1.0.0.127.zen.test", "9.4.8.8.zen.test"]


def test_a_link_is_looked_up_by_its_registered_domain_and_bits_mean_what_they_say() -> None:
    text = b"see http://www.shop.bad.co.uk/x and http://bad.co.uk/y http://good.test/\r\n"
    asked = look("uri_lists", {"bad.co.uk.multi.test": ["A 127.0.0.72"]}, [MULTI], text=text)
    assert asked.points == {"MULTI_PHISH": 6.0, "MULTI_ABUSE": 3.0}
    assert sorted(asked.names) == ["bad.co.uk.multi.test", "good.test.multi.test", "invalid.multi.test"]


def test_hosts_addresses_and_hashes_of_links_are_asked_about_where_a_list_wants_them() -> None:
    text = b"http://a.bad.test/x?y=1 http://8.8.4.4/ http://10.0.0.1/\r\n"
    digest = hashlib.md5(b"a.bad.test/x", usedforsecurity=False).digest()
    hashed = base64.b32encode(digest).decode().rstrip("=").lower()
    zone: Zone = {
        "a.bad.test.dbl.test": ["A 127.0.1.2"],
        "4.4.8.8.ips.test": ["A 127.0.0.2"],
        "7.4.8.8.ips.test": ["A 127.0.0.2"],
        "a.bad.test": ["A 8.8.4.7"],
        f"{hashed}.hbl.test": ["A 127.0.0.2"],
    }
    lists = [
        {"zone": "dbl.test", "of": "host", "weight": 1.0},
        {"zone": "ips.test", "kind": "ip", "resolve": True, "weight": 1.0},
        {"zone": "hbl.test", "kind": "hash", "hash": "md5", "encoding": "base32", "weight": 1.0},
    ]
    asked = look("uri_lists", zone, lists, text=text)
    assert asked.points == {"DBL_TEST": 1.0, "IPS_TEST": 1.0, "HBL_TEST": 1.0}
    assert "(and 1 more)" in next(each.reason for each in asked.found if each.symbol == "IPS_TEST")


def test_skipped_domains_are_not_looked_up(tmp_path: Any) -> None:
    (tmp_path / "skip").write_text("# ours\nfile.test\n")
    rule = UriRule(
        id=1, domain_id=1, action=UriAction.URIDNSBL_SKIP_DOMAIN, filter="rule.test", priority=1, created_date=NOW
    )
    text = b"http://www.rule.test/ http://www.file.test/ http://www.bad.test/\r\n"
    asked = look("uri_lists", {}, [MULTI], text=text, rules=RuleSet(uris=(rule,)), skip_file=str(tmp_path / "skip"))
    assert sorted(asked.names) == ["bad.test.multi.test", "invalid.multi.test"]


def test_hosts_alone_in_a_text_are_asked_about() -> None:
    asked = look("uri_lists", {"bad.com.multi.test": ["A 127.0.0.8"]}, [MULTI], text=b"visit www1.bad.com today\r\n")
    assert "bad.com.multi.test" in asked.names
    assert asked.found


def test_of_many_links_a_bounded_number_is_asked_about() -> None:
    text = b"".join(b"http://a%d.test/\r\n" % number for number in range(100))
    asked = look("uri_lists", {}, [MULTI], text=text, most=10)
    assert len(asked.names) == 11


def test_names_alone_hide_no_link() -> None:
    text = b"http://bad.test/ " + b" ".join(b"a%d.com" % number for number in range(100))
    asked = look("uri_lists", {}, [MULTI], text=text, most=10)
    assert "bad.test.multi.test" in asked.names
    assert len(asked.names) == 11


def test_without_lists_nothing_is_asked() -> None:
    made = load(Filters(), Tools(limits=Limits(), resolver=Resolver(Dns(), lambda: NOW)))
    assert {"dnsbl", "uri_lists", "local_lists"}.isdisjoint(one.name for one in made)


@pytest.mark.parametrize(
    ("name", "zone", "said"),
    [
        ("dnsbl", {"zone": "no name"}, "filters.dnsbl.zones: 'no name' is no domain name"),
        (
            "dnsbl",
            {"zone": "a.test", "symbol": "lower"},
            "filters.dnsbl.zones: a.test: symbol 'lower' is not UPPER_SNAKE",
        ),
        ("dnsbl", {"zone": "a.test", "answers": [{"code": "127.0.0"}]}, "filters.dnsbl.zones: a.test: '127.0.0' is no"),
        (
            "dnsbl",
            {"zone": "a.test", "answers": [{}]},
            "filters.dnsbl.zones: a.test: an answer needs a code, or a mask",
        ),
        ("dnsbl", {"zone": "a.test", "of": ["helo"]}, "filters.dnsbl.zones: a.test: a list of kind ip knows client"),
        ("dnsbl", {"zone": "a.test", "kind": "mx"}, r"filters.dnsbl.zones.*: Invalid enum value 'mx'"),
        ("uri_lists", {"zone": "a.test", "of": "url"}, "filters.uri_lists.zones: a.test: only a list of kind hash"),
        ("uri_lists", {"zone": "a.test", "wieght": 1}, r"filters.uri_lists.zones.*wieght: unknown key"),
    ],
)
def test_a_list_that_makes_no_sense_stops_the_start(name: str, zone: dict[str, Any], said: str) -> None:
    tools = Tools(limits=Limits(), resolver=Resolver(Dns(), lambda: NOW))
    with pytest.raises(SettingsError, match=said):
        load(Filters(options={name: {"zones": [zone]}}), tools)
