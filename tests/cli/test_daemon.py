"""Commands that ask the running daemon, and the one mail that they are asked about."""

import io
import json
import os
import re
from pathlib import Path

import pytest
from tests.cli.conftest import Daemon

from gatepost.mailauth.keys import generate
from gatepost.model.dkim import Algorithm


@pytest.fixture(scope="module")
def served(daemon: Daemon) -> Daemon:
    """The daemon with a domain whose next hop does not answer, so that its mail waits in the queue."""
    assert daemon.run("domain", "add", "example.org", "--next-hop", "127.0.0.1:9", "--transport", "SMTP") == os.EX_OK
    assert daemon.run("user", "add", "alice@example.org", "--firstname", "Alice") == os.EX_OK
    return daemon


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_domains_are_listed(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("domain", "list") == os.EX_OK
    assert re.search(r"^\w{5}  example.org  ENABLED  .* 127.0.0.1:9 ", shown(capsys), re.M)
    assert served.run("domain", "list", "--name", "*.net", "--json") == os.EX_OK
    assert json.loads(shown(capsys)) == []


def test_a_domain_is_served_once(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("domain", "add", "EXAMPLE.org", "--next-hop", "mail.example.org") == os.EX_CANTCREAT
    assert "(409)" in capsys.readouterr().err


def test_a_domain_is_looked_at_with_its_servers(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("domain", "check", "example.org", "--json") == os.EX_DATAERR
    found = json.loads(shown(capsys))
    assert {name: report["status"] for name, report in found.items()} == {"example.org": False, "127.0.0.1:9": False}
    assert served.run("domain", "check", "example.org") == os.EX_DATAERR
    out = shown(capsys)
    assert "example.org: not well\n  MX: ERROR" in out
    assert re.search(r"^127.0.0.1:9: not well\n  SMTP: ERROR\n    Connecting to ", out, re.M)


def test_users_are_made_listed_and_deleted(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("user", "add", "bob@example.org") == os.EX_OK
    assert served.run("user", "list", "example.org") == os.EX_OK
    out = shown(capsys)
    assert "alice@example.org  ENABLED  Alice" in out
    assert "bob@example.org" in out
    assert served.run("user", "delete", "bob@example.org") == os.EX_OK
    assert served.run("user", "delete", "bob@example.org") == os.EX_NOINPUT
    assert served.run("user", "add", "x@unknown.example") == os.EX_NOINPUT


def test_a_user_is_shown_and_the_users_of_all_domains_are_listed(
    served: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("user", "show", "Alice@example.org") == os.EX_OK
    out = shown(capsys)
    assert 'firstname = "Alice"\n' in out
    assert "policy: Politique-example.org; mail goes to: 127.0.0.1:9\n" in out
    assert served.run("user", "show", "alice@example.org", "--json") == os.EX_OK
    assert json.loads(shown(capsys))["email"] == "alice@example.org"
    assert served.run("user", "list") == os.EX_OK
    assert "alice@example.org  ENABLED  Alice" in shown(capsys)


def test_users_are_imported_from_a_table_that_may_be_given_again(
    served: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "people.csv"
    assert served.run("group", "add", "team@example.org", "alice@example.org") == os.EX_OK
    capsys.readouterr()
    table.write_text(
        "\ufeffemail;lastname;password;language\r\nann@example.org;Müller;a long password;DE\r\n"
        "alice@example.org;Other;;\r\nben@nowhere.example;Ben;;\r\ncarl@example.org;=1+1;short;\r\n"
        "ann@EXAMPLE.org;Twice;;\r\nteam@example.org;Taken;;\r\n;Nobody;;\r\n"
    )
    assert served.run("user", "import", str(table)) == os.EX_DATAERR
    out, err = capsys.readouterr()
    assert out == "1 made, 2 there already, 4 refused\n"
    assert "line 4: no domain nowhere.example\n" in err
    assert "line 5: /password: " in err
    assert "line 8: there is no address\n" in err
    assert "line 7: The address is taken by an account or a group. (409)\n" in err
    assert served.run("group", "delete", "team@example.org") == os.EX_OK
    capsys.readouterr()
    assert served.run("user", "list", "example.org") == os.EX_OK
    out = shown(capsys)
    assert re.search(r"ann@example.org +ENABLED +Müller", out)
    assert re.search(r"alice@example.org +ENABLED +Alice", out)
    table.write_text("email\nann@example.org\n")
    assert served.run("user", "import", str(table)) == os.EX_OK
    assert shown(capsys) == "0 made, 1 there already, 0 refused\n"
    assert served.run("user", "delete", "ann@example.org") == os.EX_OK


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"email,fistname\nann@example.org,Ann\n", "there is no 'fistname' (did you mean firstname?)"),
        (b"lastname\nStone\n", "Error: the first line names no column email\n"),
        (b"", "Error: the first line names no column email\n"),
        (b"email\nann@example.org,Ann\n", "line 2: more cells than columns"),
        (b"email\nann@example.org\nben@example.org,Ben\n", "line 3: more cells than columns"),
        (
            b"email,senderVerifyOn\nann@example.org,\nben@example.org,maybe\n",
            "line 3: 'senderVerifyOn=maybe': a number",
        ),
        (b"email,lastname\nann@example.org,M\xfcller\n", "no CSV file in UTF-8: "),
    ],
)
def test_a_table_that_is_none_makes_nobody(
    served: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: bytes, said: str
) -> None:
    (tmp_path / "people.csv").write_bytes(table)
    assert served.run("user", "import", str(tmp_path / "people.csv")) == os.EX_DATAERR
    assert said in capsys.readouterr().err
    assert served.run("user", "delete", "ann@example.org") == os.EX_NOINPUT


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("policy", "spamscore=6", "'spamscore=6' is no MEMBER=VALUE (did you mean spamScore?)\n"),
        ("policy", "nothing=6", "'nothing=6' is no MEMBER=VALUE; there are name, quarantine, "),
        ("policy", "wblistPriority=USER", "'wblistPriority' is changed by `gatepost domain set`\n"),
        ("domain", "outgoing=true", "'outgoing' is changed by `gatepost policy set`\n"),
    ],
)
def test_who_mistypes_a_member_is_told_what_he_may_have_meant(
    served: Daemon, capsys: pytest.CaptureFixture[str], kind: str, given: str, said: str
) -> None:
    assert served.run(kind, "set", "example.org", given) == os.EX_USAGE
    assert said in capsys.readouterr().err


def test_accounts_and_domains_are_changed_by_the_members_of_the_api(
    served: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served.run("domain", "add", "moved.example", "--next-hop", "old.example:26") == os.EX_OK
    subnets = "outgoingSubnets=192.0.2.0/28, 2001:db8::/64"
    moved = ("--next-hop", "mail.moved.example", "--transport", "smtps_encrypt")
    assert served.run("domain", "set", "moved.example", "senderVerifyOn=false", subnets, *moved) == os.EX_OK
    capsys.readouterr()
    assert served.run("domain", "show", "moved.example", "--json") == os.EX_OK
    shows = json.loads(shown(capsys))
    assert (shows["senderVerifyOn"], shows["outgoingSubnets"]) == (False, ["192.0.2.0/28", "2001:db8::/64"])
    (platform,) = shows["platforms"]
    told = (platform["name"], platform["transportDest"], platform["transportPort"], platform["transportType"])
    assert told == ("mail.moved.example", "mail.moved.example", 25, "SMTPS_ENCRYPT")
    assert served.run("domain", "delete", "moved.example", "--ignore-mx") == os.EX_OK
    assert served.run("domain", "set", "moved.example", "status=ENABLED", "outgoingSubnets=") == os.EX_OK
    assert 'status = "ENABLED"' in (out := shown(capsys))
    assert "outgoingSubnets = []" in out
    assert served.run("domain", "show", "moved.example") == os.EX_OK
    assert "mail goes to: mail.moved.example:25" in shown(capsys)
    monkeypatch.setattr("sys.stdin", io.StringIO("a long password\n"))
    assert served.run("user", "set", "alice@example.org", "lastname=Liddell", "--password-stdin") == os.EX_OK
    assert "Alice Liddell" in shown(capsys)
    assert served.run("user", "set", "alice@example.org", "lastname=") == os.EX_OK
    assert served.run("user", "set", "alice@example.org", "password=seen by all") == os.EX_USAGE


def test_a_domain_is_given_further_names_and_loses_them(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("domain", "alias", "example.org", "EXAMPLE.net", "bücher.example") == os.EX_OK
    assert "aliases: example.net, xn--bcher-kva.example;" in shown(capsys)
    assert served.run("domain", "alias", "example.org", "example.net") == os.EX_CANTCREAT
    assert served.run("domain", "alias", "example.org", "*", "--remove") == os.EX_NOINPUT
    capsys.readouterr()
    assert served.run("domain", "alias", "example.org", "example.net", "bücher.example", "--remove") == os.EX_OK
    assert "aliases: none;" in shown(capsys)
    assert served.run("domain", "alias", "example.org", "example.net", "--remove") == os.EX_NOINPUT


def test_groups_are_made_joined_left_and_deleted(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("group", "add", "Team@example.org", "alice@example.org") == os.EX_OK
    assert served.run("group", "add", "team@example.org", "alice@example.org") == os.EX_CANTCREAT
    assert served.run("group", "join", "team@example.org", "Zoe@far.test", "bob@far.test") == os.EX_OK
    assert served.run("group", "leave", "team@EXAMPLE.org", "zoe@far.test") == os.EX_OK
    assert served.run("group", "leave", "team@example.org", "zoe@far.test") == os.EX_NOINPUT
    capsys.readouterr()
    assert served.run("group", "list", "example.org") == os.EX_OK
    assert re.search(r"  team@example.org  alice@example.org bob@far.test$", shown(capsys), re.M)
    assert served.run("group", "delete", "*@example.org") == os.EX_NOINPUT
    assert served.run("group", "delete", "team@example.org") == os.EX_OK
    assert served.run("group", "list", "example.org", "--json") == os.EX_OK
    assert json.loads(shown(capsys).split("deleted")[-1]) == []


def test_policies_are_listed_shown_and_changed(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    marked = ("relayProps.relaySpam=true", "relayProps.prefixSpam=[SPAM] ", "relayProps.spamScoreLimit=12")
    asked = ("spamScore=6.5", *marked, "archive=true", "archiveProps.duration=12")
    assert served.run("policy", "set", "example.org", *asked) == os.EX_OK
    lines = shown(capsys).splitlines()
    assert {"spamScore = 6.5", 'relayProps.prefixSpam = "[SPAM] "', "archiveProps.duration = 12"} <= set(lines)
    assert served.run("policy", "list", "example.org") == os.EX_OK
    assert re.search(r"^Politique-example.org +yes +on +off +on +off +on +6.5 +21$", shown(capsys), re.M)
    assert served.run("policy", "set", "example.org", "spamScore=5", "archive=false", "--policy", "nosuch") == 66
    back = ("spamScore=5", "relayProps.relaySpam=false", "relayProps.prefixSpam=", "archive=false")
    assert served.run("policy", "set", "example.org", *back, "--policy", "Politique-example.org") == os.EX_OK
    capsys.readouterr()
    assert served.run("policy", "show", "example.org", "--json") == os.EX_OK
    policy = json.loads(shown(capsys))
    assert (policy["spamScore"], policy["relayProps"]["prefixSpam"], policy["archiveProps"]) == (5.0, "", None)
    for wrong in ("spamscore=6", "spamScore=high", "spamScore", "relayProps=1", "spamScore=null"):
        assert served.run("policy", "set", "example.org", wrong) == os.EX_USAGE
    assert served.run("policy", "set", "example.org", "mailSizeLimit=0") == os.EX_DATAERR
    assert "/mailSizeLimit: " in capsys.readouterr().err


def test_senders_are_allowed_blocked_protected_and_forgotten(
    served: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("sender", "allow", "example.org", "Shop.example", "--description", "our shop") == os.EX_OK
    assert re.search(r"^shop.example +ALLOW +yes +[0-9: -]{19} +- +our shop$", shown(capsys), re.M)
    assert served.run("sender", "block", "alice@example.org", "shop.example", "--days", "3", "--json") == os.EX_OK
    (rule,) = json.loads(shown(capsys))
    assert (rule["owner"], rule["expireAt"] - rule["createdDate"] > 2 * 86_400_000) == ("alice@example.org", True)
    assert served.run("sender", "block", "alice@example.org", "shop.example") == os.EX_CANTCREAT
    assert served.run("sender", "allow", "alice@example.org", "ann@shop.example", "--unproven") == os.EX_OK
    assert served.run("sender", "protect", "example.org", "boss@example.org") == os.EX_OK
    assert served.run("sender", "list", "alice@example.org") == os.EX_OK
    listed = shown(capsys).split("SENDER")[-1].splitlines()[1:]
    assert [line.split()[:3] for line in listed] == [
        ["shop.example", "BLOCK", "-"],
        ["ann@shop.example", "ALLOW", "no"],
    ]
    assert served.run("sender", "forget", "alice@example.org", "SHOP.example") == os.EX_OK
    assert "shop.example: BLOCK of alice@example.org deleted" in shown(capsys)
    assert served.run("sender", "forget", "alice@example.org", "shop.example") == os.EX_NOINPUT
    assert served.run("sender", "allow", "nobody@example.org", "shop.example") == os.EX_NOINPUT


def test_rules_for_attachments_and_links_are_made_listed_and_deleted(
    served: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("attachment", "deny", "example.org", r"\.exe$", "--description", "programs") == os.EX_OK
    assert re.search(r" 2 +DENY +archive-filename +\\.exe\$ +programs$", shown(capsys), re.M)
    assert served.run("attachment", "allow", "example.org", "^image/", "--of", "contenttype") == os.EX_OK
    assert served.run("attachment", "allow", "example.org", "(", "--of", "contenttype") == os.EX_DATAERR
    capsys.readouterr()
    assert served.run("attachment", "list", "example.org", "--json") == os.EX_OK
    rules = json.loads(shown(capsys))
    assert [rule["checkType"] for rule in rules] == ["FILENAME", "ARCHIVE_FILENAME", "CONTENTTYPE"]
    assert served.run("attachment", "delete", *(rule["id"] for rule in rules)) == os.EX_OK
    assert served.run("attachment", "delete", "zzzzz") == os.EX_NOINPUT
    assert served.run("link", "block", "example.org", "B\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test") == os.EX_OK
    assert served.run("link", "skip", "example.org", "192.0.2.9") == os.EX_OK
    assert served.run("link", "allow", "example.org", "cdn.test") == os.EX_OK
    assert served.run("link", "list", "example.org") == os.EX_OK
    listed = [line.split() for line in shown(capsys).split("HOST")[-1].splitlines()[1:]]
    assert [row[1] for row in listed] == ["SKIP", "ALLOW", "BLOCK"]
    for host in ("b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.test", "192.0.2.9", "CDN.test"):
        assert served.run("link", "forget", "example.org", host) == os.EX_OK
        assert served.run("link", "forget", "example.org", host) == os.EX_NOINPUT


def test_any_operation_of_the_api_can_be_asked_for(
    served: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert served.run("api", "get", "/domains?name=example.org") == os.EX_OK
    (domain,) = json.loads(shown(capsys))
    assert served.run("api", "POST", f"/domains/{domain['id']}/aliases", '["example.net"]') == os.EX_OK
    (alias,) = json.loads(shown(capsys))
    assert served.run("api", "DELETE", f"/domains/{domain['id']}/aliases/{alias['id']}") == os.EX_OK
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"description": "ours"}')))
    assert served.run("api", "PATCH", f"/domains/{domain['id']}", "-") == os.EX_OK
    assert served.run("api", "GET", "/users?email=*\N{LATIN SMALL LETTER E WITH ACUTE}*") == os.EX_OK
    assert served.run("api", "DELETE", "/nothing") == os.EX_NOINPUT
    assert served.run("api", "GET", "domains") == os.EX_USAGE
    assert served.run("api", "POST", "/login", "{") == os.EX_USAGE


def test_tokens_are_shown_once_and_revoked(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("token", "add", "ci", "--days", "30", "--json") == os.EX_OK
    token = json.loads(shown(capsys))
    assert re.fullmatch(r"[0-9a-f]{32}", token["value"])
    assert served.run("token", "list") == os.EX_OK
    out = shown(capsys)
    assert f"{token['id']}  ci" in out
    assert token["value"] not in out
    assert served.run("token", "delete", token["id"]) == os.EX_OK
    assert served.run("token", "delete", token["id"]) == os.EX_NOINPUT
    assert served.run("token", "list", "--admin", "nobody") == os.EX_NOINPUT


def test_administrators_are_made_given_access_and_deleted(
    served: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("a long password\n"))
    who = ("--email", "arya@stark.test", "--password-stdin")
    assert served.run("admin", "add", "arya", "HELPDESK", *who, "--domain", "example.org") == os.EX_OK
    assert "HELPDESK on example.org" in shown(capsys)
    assert served.run("admin", "grant", "Arya", "DOMAIN_ADMIN", "--domain", "example.org") == os.EX_OK
    assert served.run("admin", "grant", "arya", "QUEUE_READ", "DOMAINS_READ", "--customer", "default") == os.EX_OK
    assert "arya: holds QUEUE_READ, DOMAINS_READ" in shown(capsys)
    assert served.run("admin", "list") == os.EX_OK
    assert "DOMAIN_ADMIN on example.org; DOMAINS_READ, QUEUE_READ on default" in shown(capsys)
    assert served.run("admin", "list", "--broker", "default", "--json") == os.EX_OK
    assert json.loads(shown(capsys)) == []
    assert served.run("admin", "revoke", "arya", "--customer", "default") == os.EX_OK
    assert served.run("admin", "delete", "arya") == os.EX_OK
    assert served.run("admin", "delete", "arya") == os.EX_NOINPUT
    assert served.run("admin", "revoke", "admin") == os.EX_TEMPFAIL  # the last sysadmin stays
    assert served.run("admin", "add", "arya", "READER", "--email", "arya@stark.test") == os.EX_USAGE
    monkeypatch.setattr("sys.stdin", io.StringIO("a long password\n"))
    assert served.run("admin", "add", "bran", "domain_admin", *who) == os.EX_DATAERR
    assert "'domain_admin' can't be given to administrators (did you mean DOMAIN_ADMIN?)" in capsys.readouterr().err
    assert served.run("admin", "list", "--customer", "a", "--domain", "b") == os.EX_USAGE
    assert served.run("admin", "list", "--customer", "nobody") == os.EX_NOINPUT


def test_a_waiting_mail_is_held_released_explained_and_deleted(
    served: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    sent = ["send", "--server", served.smtp, "--to", "alice@example.org", "--from", "a@elsewhere.test", "--quiet"]
    from gatepost.cli.main import main

    assert main([*sent, "--subject", "Hi \x1b[2J"]) != os.EX_OK  # a control character never leaves
    assert main([*sent, "--subject", "Hi"]) == os.EX_OK
    mail_id = re.search(r"[0-9a-f]{32}", shown(capsys))
    assert mail_id
    assert served.run("queue", "list", "--json") == os.EX_OK
    (delivery,) = json.loads(shown(capsys))
    assert (delivery["recipient"], delivery["mailId"]) == ("alice@example.org", mail_id[0])

    assert served.run("queue", "flush") == os.EX_OK
    assert shown(capsys) in ("1 tried now\n", "0 tried now, 1 under way left alone\n")
    assert served.run("queue", "flush", "--json") == os.EX_OK
    assert json.loads(shown(capsys)) in ({"done": 0, "busy": 1}, {"done": 1, "busy": 0})
    assert served.run("queue", "hold", delivery["id"]) in (os.EX_OK, os.EX_TEMPFAIL)
    assert served.run("queue", "show", delivery["id"]) == os.EX_OK
    assert "to 127.0.0.1:9/SMTP, until" in shown(capsys)
    shown(capsys)
    assert served.run("queue", "pause", "127.0.0.1:9/SMTP") == os.EX_OK
    assert shown(capsys) == "127.0.0.1:9/SMTP: paused\n"
    assert served.run("queue", "destinations") == os.EX_OK
    assert re.search(r"^127.0.0.1:9/SMTP .* paused$", shown(capsys), re.M)
    assert served.run("queue", "resume", "127.0.0.1:9/SMTP", "--json") == os.EX_OK
    assert json.loads(shown(capsys)) == {"destination": "127.0.0.1:9/SMTP", "paused": False}
    assert served.run("queue", "reroute", delivery["id"], "--to", "[::1]:x") == os.EX_USAGE
    assert served.run("queue", "reroute", "zzzzz", "--to", "[::1]:9", "--transport", "SMTP") == os.EX_NOINPUT
    assert served.run("queue", "bounce", "zzzzz") == os.EX_NOINPUT
    shown(capsys)
    assert served.run("queue", "retry", "ALL") == os.EX_OK
    assert re.fullmatch(r"(1 tried now|0 tried now(, 1 under way left alone)?)\n", shown(capsys))
    assert served.run("explain", mail_id[0]) == os.EX_OK
    story = shown(capsys)
    assert "from <a@elsewhere.test>" in story
    assert "verdict  alice@example.org" in " ".join(story.split()).replace(" verdict ", " verdict  ")
    assert served.run("explain", "0" * 32) == os.EX_NOINPUT
    assert served.run("queue", "hold", "zzzzz") == os.EX_NOINPUT


@pytest.mark.parametrize("words", [("queue", "show"), ("queue", "hold"), ("queue", "delete"), ("token", "delete")])
@pytest.mark.parametrize("typed", ["a b", "a\nb", "\u00f6", "a/b", "a?b", "destinations", "flush", "%", ".."])
def test_what_is_no_id_is_told_to_be_none(
    served: Daemon, words: tuple[str, str], typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run(*words, typed) == os.EX_NOINPUT
    assert "there is no such" in capsys.readouterr().err.lower()


def test_of_several_deliveries_the_one_that_is_refused_is_named(
    served: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("queue", "hold", "zzzzz", "yyyyy") == os.EX_NOINPUT
    assert capsys.readouterr().err == "Error: zzzzz: There is no such delivery in the queue. (404)\n"


def test_waiting_mails_are_chosen_by_what_they_have_in_common(
    served: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gatepost.cli.main import main

    for to, sender in (("bob@example.org", "a@elsewhere.test"), ("carol@example.org", "b@elsewhere.test")):
        assert main(["send", "--server", served.smtp, "--to", to, "--from", sender, "--quiet"]) == os.EX_OK
    there = ("--destination", "127.0.0.1:9/SMTP")

    def moved(*words: str) -> int:
        """Move deliveries until none of those that are meant is being tried; return how many."""
        count = 0
        for _ in range(1000):
            shown(capsys)
            assert served.run("queue", *words) == os.EX_OK
            done, _, rest = shown(capsys).partition(" ")
            count += int(done)
            if "under way" not in rest:
                return count
        raise AssertionError(words)

    def listed(*words: str) -> list[str]:
        shown(capsys)
        assert served.run("queue", "list", "--json", *words) == os.EX_OK
        return sorted(each["recipient"] for each in json.loads(shown(capsys)))

    assert moved("hold", "--recipient", "CAROL@example.org") == 1
    assert listed("--sender", "b@*") == ["carol@example.org"]
    assert "carol@example.org" in listed("--state", "held") and "bob@example.org" not in listed("--state", "held")
    assert "carol@example.org" in listed("--state", "held", *there) and listed("--destination", "@example.org") == []
    assert set(listed("--domain", "example.org")) >= {"bob@example.org", "carol@example.org"}
    assert moved("release", *there, "--state", "queued") == 0
    assert moved("release", *there, "--domain", "example.org", "--recipient", "*carol*") == 1
    assert moved("hold", "--destination", "@example.org") == 0
    assert moved("delete", *there, "--sender", "b@elsewhere.test", "--yes") == 1
    assert moved("bounce", "--sender", "a@elsewhere.test", "--recipient", "bob@*", "--yes", *there) == 1
    assert listed("--recipient", "bob@example.org") == listed("--recipient", "carol@example.org") == []
    assert served.run("queue", "hold") == os.EX_USAGE
    assert served.run("queue", "hold", "zzzzz", *there) == os.EX_USAGE
    assert served.run("queue", "delete", "--domain", "nobody.example", "--yes") == os.EX_NOINPUT
    shown(capsys)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert served.run("queue", "delete", "ALL") == os.EX_USAGE
    assert "--yes goes on unasked" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert served.run("queue", "delete", "ALL") == 130
    assert served.run("queue", "pause", "example.org") == os.EX_DATAERR
    assert "This is no destination" in capsys.readouterr().err


def test_mails_in_files_are_judged_and_compared_with_what_is_expected(
    served: Daemon, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "mails"
    (folder / "spam").mkdir(parents=True)
    (folder / "expect.toml").write_text('as = "alice@example.org"\n')
    (folder / "spam" / "expect.toml").write_text('category = "spam"\naction = "hold"\n')
    head = "From: ann@a.test\nTo: alice@example.org\nDate: Mon, 24 Nov 2025 12:00:00 +0000\nMessage-ID: <1@a.test>\n"
    came = "Received: from mx.a.test (mx.a.test [192.0.2.7]) by x\n"
    gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
    (folder / "clean.eml").write_text(f"From ann Mon\n{came}{head}Subject: hi\n\nHello\n")
    (folder / "clean.toml").write_text('action = "deliver"\nmost = 4.9\nabsent = ["GTUBE"]\n')
    (folder / "spam" / "gtube.eml").write_text(f"{head}Subject: hi\n\n{gtube}\n")
    (folder / "spam" / "gtube.toml").write_text('symbols = ["GTUBE"]\nleast = 100\n')
    assert served.run("test", str(folder)) == os.EX_OK
    assert re.search(r"^clean.eml +ok +deliver CLEAN", shown(capsys), re.M)

    (folder / "clean.toml").write_text('category = "spam"\n')
    (folder / "spam" / "open.eml").write_text(f"{head}Subject: hi\n\nHello\n")
    (folder / "spam" / "open.toml").write_text('as = "nobody"\n')
    assert served.run("test", str(folder), "--json") == os.EX_DATAERR
    outcomes = {each["file"]: each for each in json.loads(shown(capsys))}
    assert outcomes["clean.eml"]["differs"] == ["category is CLEAN, not SPAM"]
    assert outcomes["spam/gtube.eml"]["result"] == "ok"
    assert outcomes["spam/open.eml"]["result"] == "error"
    (folder / "clean.toml").write_text('categroy = "spam"\n')
    assert served.run("test", str(folder)) == os.EX_DATAERR
    (tmp_path / "empty").mkdir()
    assert served.run("test", str(tmp_path / "empty")) == os.EX_NOINPUT

    assert served.run("explain", str(folder / "clean.eml"), "--as", "alice@example.org", "--json") == os.EX_OK
    events = json.loads(shown(capsys))
    assert events[0]["data"] | {"client": "192.0.2.7", "helo": "mx.a.test", "sender": "ann@a.test"} == events[0]["data"]
    for null in ("", "<>"):
        command = ("explain", str(folder / "clean.eml"), "--as", "alice@example.org", "--sender", null)
        assert served.run(*command) == os.EX_OK
    assert served.run("explain", str(folder / "spam" / "gtube.eml"), "--as", "alice@example.org") == os.EX_OK
    assert "without GTUBE (+1000 points) it would be delivered as CLEAN" in shown(capsys)
    assert served.run("explain", "0" * 32, "--sender", "a@b.test") == os.EX_USAGE
    assert served.run("explain", str(folder / "clean.eml")) == os.EX_USAGE, "for whom?"
    assert served.run("explain", "<1@a.test>") == os.EX_NOINPUT, "nothing is left of what was tried"
    assert served.run("explain", f"<{'1' * 300}@a.test>") == os.EX_NOINPUT, "no name of a file is so long"


def test_addresses_are_suppressed_and_let_go(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("suppression", "add", "example.org", "zoe@far.test", "--reason", "asked us to") == os.EX_OK
    assert served.run("suppression", "list", "example.org") == os.EX_OK
    assert re.search(r"^zoe@far.test  MANUAL .* asked us to$", shown(capsys), re.M)
    assert served.run("suppression", "delete", "example.org", "zoe@far.test") == os.EX_OK
    assert served.run("suppression", "delete", "example.org", "zoe@far.test") == os.EX_NOINPUT


def test_changes_are_shown_with_who_made_them(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("user", "add", "eve@example.org") == os.EX_OK
    capsys.readouterr()
    assert served.run("audit", "--kind", "user", "--limit", "1") == os.EX_OK
    head, line = shown(capsys).splitlines()
    assert head.split() == ["TIME", "WHO", "FROM", "ACT", "WHAT", "CHANGE"]
    assert re.search(r"  local control  -  +add  user eve@example.org", line)
    assert served.run("audit", "--domain", "example.org", "--since", "2020-01-01", "--json") == os.EX_OK
    entries = json.loads(shown(capsys))
    assert {"domain", "policy", "platform", "user"} <= {each["kind"] for each in entries}
    assert served.run("audit", "--kind", "user", "--limit", "1", "--since", "2h") == os.EX_OK
    assert len(shown(capsys).splitlines()) == 2
    assert served.run("audit", "--until", "2020-01-01") == os.EX_OK
    assert len(shown(capsys).splitlines()) == 1
    assert served.run("audit", "--until", "7d") == os.EX_OK
    assert len(shown(capsys).splitlines()) == 1
    assert served.run("audit", "--since", "yesterday") == os.EX_USAGE
    assert (
        "'yesterday' is no time; give 2026-11-19, 2026-11-19T08:00 (UTC), or 30m, 2h, 7d ago" in capsys.readouterr().err
    )
    assert served.run("audit", "--domain", "unknown.example") == os.EX_NOINPUT


def test_commands_in_a_long_path_reach_the_socket(served: Daemon) -> None:
    """The path of a Unix socket is short by nature; the directory's own may be long."""
    assert len(str(served.state / "control.sock")) > 0
    assert served.run("health") == os.EX_OK


def test_dkim_keys_are_made_installed_shown_and_replaced(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("dkim", "show", "example.org") == os.EX_NOINPUT
    assert served.run("dkim", "create", "example.org") == os.EX_OK
    first = shown(capsys)
    assert re.fullmatch(r"protect\._domainkey\.example\.org TXT v=DKIM1; p=[\w+/=]+\n", first)
    assert served.run("dkim", "create", "example.org") == os.EX_CANTCREAT
    made = generate(Algorithm.ED25519)
    file = served.config.parent / "key.pem"
    file.write_text(made.private)
    assert served.run("dkim", "create", "example.org", "--private-key", str(file), "--selector", "ed", "--json") == 0
    assert json.loads(shown(capsys)) == [f"ed._domainkey.example.org TXT v=DKIM1; k=ed25519; p={made.public}"]
    assert served.run("dkim", "replace", "example.org") == os.EX_OK
    assert shown(capsys).startswith("protect2._domainkey.example.org TXT ")
    assert served.run("dkim", "show", "example.org") == os.EX_OK
    assert first in shown(capsys)
    file.write_text("")
    assert served.run("dkim", "replace", "example.org", "--private-key", str(file)) == os.EX_DATAERR
    assert served.run("dkim", "delete", "example.org") == os.EX_OK
    assert served.run("dkim", "show", "example.org") == os.EX_NOINPUT


def test_mails_are_learnt_from_files_folders_and_mboxes(
    served: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = "From: a@b.test\nSubject: {0}\n\n{0} {0} pills\n"
    (tmp_path / "in/deep").mkdir(parents=True)
    (tmp_path / "in/one.eml").write_text(letter.format("one"))
    (tmp_path / "in/deep/two.eml").write_text(letter.format("two"))
    box = tmp_path / "box"
    box.write_text(
        "".join(f"From a@b.test Mon Nov 24 12:00:00 2025\n{letter.format(each)}\n" for each in ("two", "six"))
    )
    assert served.run("learn", "spam", str(tmp_path / "in"), str(box)) == os.EX_OK
    out = capsys.readouterr()
    assert "learnt 3, known before 1, refused 0\nin all 3 spam and 0 clean mails\n" in out.out
    assert served.run("learn", "ham", str(box), "--domain", "example.org") == os.EX_OK
    assert "in all 0 spam and 2 clean mails for example.org" in shown(capsys)
    assert served.run("learn", "ham") == served.run("learn", "ham", "--domain", "example.org") == os.EX_OK
    assert shown(capsys).splitlines() == [
        "in all 3 spam and 0 clean mails",
        "in all 0 spam and 2 clean mails for example.org",
    ]
    assert served.run("learn", "ham", str(box), "--domain", "unknown.example") == os.EX_NOINPUT
    assert served.run("learn", "ham", str(tmp_path / "none")) == os.EX_USAGE


def test_filters_are_listed_with_the_servers_of_engines(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("filters") == os.EX_OK
    assert re.search(r"^spamassassin  127.0.0.1:9  up +0 +0 +-$", shown(capsys), re.M)
    assert served.run("filters", "--json") == os.EX_OK
    told = {each["name"]: each for each in json.loads(shown(capsys))}
    assert [server["standing"] for server in told["spamassassin"]["servers"]] == ["up"]
    assert told["clamav"]["servers"] == []


@pytest.mark.conformance
def test_what_was_learnt_outlasts_a_kill(served: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    letter = tmp_path / "one.eml"
    letter.write_text("From: a@b.test\nSubject: x\n\na mail before the kill\n")
    assert served.run("learn", "spam", str(letter)) == os.EX_OK
    before = capsys.readouterr().out.splitlines()
    assert before[0] == "learnt 1, known before 0, refused 0"
    assert served.process
    served.process.kill()
    served.process.wait()
    served.start()
    assert served.run("learn", "spam", str(letter)) == os.EX_OK
    assert capsys.readouterr().out.splitlines() == ["learnt 0, known before 1, refused 0", before[1]]


def test_a_pattern_names_nothing_that_is_deleted_or_granted(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    for args in (
        ["domain", "delete", "*"],
        ["domain", "delete", "exam*"],
        ["user", "delete", "*@example.org"],
        ["user", "delete", "ali*@example.org"],
        ["suppression", "delete", "example.org", "*"],
        ["sender", "forget", "example.org", "*"],
        ["link", "forget", "example.org", "*"],
        ["admin", "grant", "admin", "READER", "--customer", "*"],
    ):
        assert served.run(*args) == os.EX_NOINPUT, args
    assert served.run("user", "list", "example.org") == os.EX_OK
    assert "alice@example.org  ENABLED" in shown(capsys)


def test_a_next_hop_by_ipv6_is_shown_as_it_is_written(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("domain", "add", "six.example", "--next-hop", "[2001:db8::25]:2525", "--language", "fr") == 0
    assert "  [2001:db8::25]:2525  " in shown(capsys)


def test_the_audit_tells_times_as_people_do(served: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("domain", "add", "gone.example", "--next-hop", "mail.gone.example") == os.EX_OK
    assert served.run("domain", "delete", "gone.example") == os.EX_OK
    capsys.readouterr()
    assert served.run("audit", "--domain", "gone.example", "--limit", str(10**20)) == os.EX_OK
    assert re.search(r"deletionDate: null -> \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, purgeDate", shown(capsys))


def test_held_mails_are_listed_shown_released_and_deleted(
    served: Daemon, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gatepost.cli.main import main

    gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
    sent = ["send", "--server", served.smtp, "--to", "alice@example.org", "--quiet", "--body", gtube]
    for author, subject in (("one@held.test", "One"), ("two@held.test", "Two\u202e")):
        assert main([*sent, "--from", author, "--subject", subject]) == os.EX_OK
    capsys.readouterr()
    assert served.run("quarantine", "list", "--domain", "example.org", "--category", "spam", "--json") == os.EX_OK
    two, one = json.loads(shown(capsys))
    assert [one["subject"], two["subject"]] == ["One", "Two\u202e"]
    assert served.run("quarantine", "list", "--limit", "1") == os.EX_OK
    head, row, more = shown(capsys).splitlines()
    assert head.startswith("ID ") and more == "There are more; --limit shows more than 1."
    assert re.match(rf"{two['id']}  .* SPAM .* two@held.test  alice@example.org  Two\\x202e", row)
    assert served.run("quarantine", "list", "--sender", "one@*", "--limit", str(10**20), "--json") == os.EX_OK
    assert [each["id"] for each in json.loads(shown(capsys))] == [one["id"]]
    for asked in (["--mailbox", "nobody@example.org"], ["--category", "virus"], ["--subject", "Three"]):
        assert served.run("quarantine", "list", *asked, "--json") == os.EX_OK
        assert json.loads(shown(capsys)) == []
    assert served.run("quarantine", "list", "--domain", "none.example") == os.EX_NOINPUT

    assert served.run("quarantine", "release", "--infected", one["id"]) == os.EX_DATAERR
    assert f"{one['id']}: The mail is not infected; there is nothing to confirm." in capsys.readouterr().err
    assert served.run("quarantine", "release", one["id"]) == os.EX_OK
    assert shown(capsys) == f"{one['id']}: released\n"
    assert served.run("quarantine", "show", one["id"]) == os.EX_OK
    told = shown(capsys)
    assert f"gatepost explain {one['mailId']}" in told and "released: queued, " in told
    assert served.run("quarantine", "delete", two["id"], "zzzzz") == os.EX_NOINPUT
    out, err = capsys.readouterr()
    assert out == f"{two['id']}: deleted\n" and err == "Error: zzzzz: There is no such held mail. (404)\n"
    assert served.run("quarantine", "show", two["id"]) == os.EX_NOINPUT
    for author in ("three@held.test", "four@held.test"):
        assert main([*sent, "--from", author, "--subject", "All"]) == os.EX_OK
    for answer, code in (("n\n", 130), ("", os.EX_USAGE)):  # somebody says no; nobody is there
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert served.run("quarantine", "release", "--sender", "three@held.test") == code
    capsys.readouterr()
    assert served.run("quarantine", "release", "--domain", "example.org", "--subject", "All", "--yes") == os.EX_OK
    assert shown(capsys).count(": released\n") == 2
    assert served.run("quarantine", "release", "--sender", "*@held.test", "--yes") == os.EX_OK  # none is left
    assert served.run("quarantine", "release", "--category", "virus", "--infected", "--yes") == os.EX_OK
    assert shown(capsys) == ""
    assert served.run("quarantine", "delete", "--sender", "*@held.test", "--yes") == os.EX_OK
    assert shown(capsys).count(": deleted\n") == 3
    assert served.run("quarantine", "delete") == os.EX_USAGE
    assert served.run("quarantine", "delete", one["id"], "--sender", "one@held.test") == os.EX_USAGE
    capsys.readouterr()
    assert served.run("explain", two["mailId"]) == os.EX_OK
    assert re.search(r"deleted +alice@example.org .*out of Quarantine", shown(capsys))
