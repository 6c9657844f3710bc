"""`gatepost trace`: mails found beside the running daemon, and in the store when it has gone."""

import json
import os
import re
import smtplib
from pathlib import Path

import pytest
from tests.cli.conftest import Daemon

from gatepost.cli.main import main


def lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[list[str]], str]:
    """Return the rows of the table, and what was said beside it."""
    shown = capsys.readouterr()
    return [re.split(r"  +", line) for line in shown.out.splitlines()[1:]], shown.err


def test_mails_are_found_with_and_without_the_daemon(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    assert daemon.run("domain", "add", "example.org", "--next-hop", "127.0.0.1:9", "--transport", "SMTP") == os.EX_OK
    host, port = daemon.smtp.split(":")
    with smtplib.SMTP(host, int(port)) as client:
        client.ehlo("client.test")
        client.mail("<ann@elsewhere.test>")
        assert client.rcpt("<bob@nowhere.test>")[0] == 550
        client.rset()
        for subject in ("One", "Two"):
            head = "From: ann@elsewhere.test\r\nTo: bob@example.org\r\nDate: Thu, 19 Nov 2026 10:00:00 +0000\r\n"
            mail = f"{head}Message-ID: <{subject}@elsewhere.test>\r\nSubject: {subject} offer\r\n\r\nGood day.\r\n"
            client.sendmail("ann@elsewhere.test", ["bob@example.org"], mail)
    capsys.readouterr()
    asked = ["trace", "--from", "ann@*", "--to", "bob@example.org"]
    assert daemon.run(*asked) == os.EX_OK
    rows, said = lines(capsys)
    assert [(row[2], row[3]) for row in rows] == [("ann@elsewhere.test", "bob@example.org")] * 2
    assert {row[4] for row in rows} <= {"queued", "deferred"}
    assert said.startswith("That is all from ")
    (_, newest, *_), (_, oldest, *_) = rows

    assert daemon.run(*asked, "--limit", "1") == os.EX_OK
    rows, said = lines(capsys)
    assert [row[1] for row in rows] == [newest]
    assert re.fullmatch(r"Cut after 1 mails: older ones with --until [-0-9T:]{19}, .*\n", said)
    assert daemon.run(*asked, "--subject", "ne off", "--json") == os.EX_OK
    found = json.loads(capsys.readouterr().out)
    assert ([mail["id"] for mail in found["mails"]], found["complete"], found["counted"]) == ([oldest], True, 0)
    for nothing in (["--since", "2038-01-01"], ["--until", "2020-01-01"], ["--from", "<>"], ["--client", "::*"]):
        assert daemon.run("trace", *nothing) == os.EX_OK
        assert lines(capsys)[0] == [], nothing
    assert daemon.run("trace", "--status", "lost") == os.EX_USAGE

    assert daemon.stop() == os.EX_OK
    capsys.readouterr()
    before = sorted(path.name for path in daemon.state.iterdir())
    assert daemon.run("trace", "--status", "refused") == os.EX_OK  # what is written behind the others is there by now
    ((_, refused, sender, recipient, status, why),), _ = lines(capsys)
    assert (sender, recipient, status) == ("ann@elsewhere.test", "bob@nowhere.test", "refused")
    assert why.startswith("550 5.7.1")
    assert daemon.run("explain", refused) == os.EX_OK
    assert f"refused: {why}" in capsys.readouterr().out
    assert daemon.run("trace", "--top", "recipients", "--limit", "1") == os.EX_OK
    assert lines(capsys)[0] == [["bob@example.org", "2"]]
    assert daemon.run("trace", "--top", "senders", "--json") == os.EX_OK
    assert json.loads(capsys.readouterr().out)["top"] == [{"name": "ann@elsewhere.test", "mails": 3}]
    assert sorted(path.name for path in daemon.state.iterdir()) == before
    assert daemon.run("explain", __file__, "--as", "bob@example.org") == os.EX_UNAVAILABLE  # the rest is not there


def test_where_there_is_neither_a_daemon_nor_a_store_none_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gatepost.toml"
    config.write_text('[smtp]\nhostname = "gatepost.test"\n[store]\ndirectory = "state"\n')
    assert main(["trace", "--config", str(config)]) == os.EX_UNAVAILABLE
    assert "no gatepost is running" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
