"""`gatepost check`: what it finds wrong, and in whose words."""

import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gatepost.cli.main import main

LISTEN = '[[smtp.listener]]\nlisten = "127.0.0.1:0"\n[http]\nlisten = ["127.0.0.1:0"]\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gatepost.toml"


def check(file: Path, text: str) -> int:
    file.write_text(f'[store]\ndirectory = "state"\n{text}')
    return main(["check", "--config", str(file)])


def test_good_settings_and_no_store_yet_are_no_fault(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(file, LISTEN) == os.EX_OK
    out = capsys.readouterr().out
    assert "settings: ok" in out
    assert "`gatepost init` makes it" in out
    assert not (file.parent / "state").exists()


def test_engines_are_tried_out_and_a_silent_one_is_no_fault_of_the_settings(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(file, LISTEN + '[filters.clamav]\nservers = ["/no/such/socket"]\n') == os.EX_OK
    assert "clamav: /no/such/socket does not answer: No such file or directory" in capsys.readouterr().out


def test_a_missing_library_for_archives_is_told(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.message.foreign.available", lambda: False)
    assert check(file, LISTEN) == os.EX_OK
    assert "archives: there is no libarchive" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[smtp.listener]]\nlisten = "nowhere"\n', "smtp.listener: nowhere: expected address:port"),
        ('[http]\nlisten = ["::1:80"]\n', "http.listen: ::1:80"),
        (
            '[smtp]\ncertificate = "none.pem"\nkey = "none.key"\n',
            "127.0.0.1:2525: certificate none.pem: ",
        ),
        ('[[smtp.listener]]\nproxy_protocol_from = ["lb"]\n', "smtp.listener.proxy_protocol_from: 'lb'"),
        ('[[smtp.listener]]\nrole = "submission"\n', "a submission listener needs TLS and a certificate"),
        ('[relay]\nsmarthost = ":25"\n', "relay.smarthost: ':25' is no host:port"),
        ('[relay]\nsmarthost = "no host:25"\n', "relay.smarthost: 'no host:25': the domain is malformed"),
        ('[relay]\nmx_transport = "TLS"\n', "relay.mx_transport: 'TLS' is none of SMTP"),
        ('[dns]\ntrust_ad = "often"\n', "dns.trust_ad: 'often' is none of local"),
        ('[log]\nlevel = "loud"\n', "log.level: 'loud' is none of debug"),
        ("[limits]\nrecipients = 0\n", "limits.recipients: Expected `int` >= 1"),
        ("[queue]\nlife = -5\n", "queue.life: Expected `int` >= 1"),
        ("[relay]\nmx_port = 70000\n", "relay.mx_port: Expected `int` <= 65535"),
        ("reserve_percent = 101\n", "store.reserve_percent: Expected `float` <= 100"),
        ("[limits]\nidle = 0\n", "limits.idle: Expected `float` > 0"),
        ("[limits]\nidle = inf\n", "limits.idle: Expected `float` <= 31536000"),
        ("[relay]\nidle = nan\n", "relay.idle: Expected `float` >= 0"),
        ("[queue]\nfirst_retry = 0\n", "queue.first_retry: Expected `int` >= 1"),
        ("[http]\nguesses_per_minute = 0\n", "http.guesses_per_minute: Expected `int` >= 1"),
        ("[health]\nruns_per_minute = 0\n", "health.runs_per_minute: Expected `int` >= 1"),
        ('[relay]\nca_file = "none.pem"\n', "relay.ca_file: none.pem: No such file or directory"),
        (f'[relay]\nca_file = "{__file__}"\n', f"relay.ca_file: {__file__}: "),
        (f'[mta_sts]\nca_file = "{__file__}"\n', f"mta_sts.ca_file: {__file__}: "),
        (f'[webhooks]\nca_file = "{__file__}"\n', f"webhooks.ca_file: {__file__}: "),
        ('[smtp]\nkey = "key.pem"\n', "smtp.listener 127.0.0.1:2525: there is a key for it, and no certificate"),
        ('[http]\nlisten = ["127.0.0.1:2525"]\n', "http.listen: 127.0.0.1:2525: 2 listeners ask for this address"),
        ("[smtp]\nlistener = [{listen = 'fd:a'}, {listen = 'fd:a'}]", "smtp.listener: fd:a: 2 listeners ask for this"),
        ('[http]\ncertificate = "none.pem"\n', "http: certificate 'none.pem' with key '': "),
        ('[notices]\ntemplates = "/no/such"\n', "notices.templates: /no/such is no folder"),
        ("[filters.nonsense]\nx = 1\n", "filters.nonsense: there is no such filter"),
        ("[filters.attachments]\nunscannable = 'maybe'\n", "filters.attachments"),
    ],
)
def test_wrong_settings_are_told_one_by_one(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert check(file, text) == os.EX_CONFIG
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("section", "said"),
    [("smtp", "smtp.listener 127.0.0.1:2525: certificate "), ("http", "http: certificate ")],
)
def test_an_encrypted_key_is_told_and_nobody_asked_for_its_passphrase(
    file: Path, capsys: pytest.CaptureFixture[str], section: str, said: str
) -> None:
    """OpenSSL would ask at the terminal, and stop the whole relay until somebody answers."""
    pair = trustme.CA().issue_cert("gate.example")
    pair.cert_chain_pems[0].write_to_path(str(file.parent / "cert.pem"))
    key = load_pem_private_key(pair.private_key_pem.bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (file.parent / "key.pem").write_bytes(locked)
    text = f'[{section}]\ncertificate = "{file.parent}/cert.pem"\nkey = "{file.parent}/key.pem"\n'
    assert check(file, text) == os.EX_CONFIG
    told = capsys.readouterr().err
    assert said in told
    assert "its key is encrypted" in told


def test_a_sound_store_is_ok(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f'[store]\ndirectory = "state"\n{LISTEN}')
    assert main(["init", "--config", str(file)]) == os.EX_OK
    assert main(["check", "--config", str(file)]) == os.EX_OK
    out = capsys.readouterr().out
    assert "state ok" in out and "listeners: ok" in out
    (file.parent / "state/done.log").mkdir()
    assert main(["check", "--config", str(file)]) == os.EX_IOERR
    assert capsys.readouterr().err == f"Error: {file.parent}/state/done.log: can't be used: Is a directory\n"


def test_addresses_that_cannot_be_listened_on_are_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        elsewhere = LISTEN.replace('"127.0.0.1:0"]', '"192.0.2.1:0"]')
        assert check(file, elsewhere.replace('"127.0.0.1:0"\n', f'"127.0.0.1:{port}"\n')) == os.EX_UNAVAILABLE
    told = capsys.readouterr().err
    assert f"Error: smtp.listener: 127.0.0.1:{port}: Address already in use (`ss -ltnp` shows by whom)\n" in told
    assert "\nhttp.listen: 192.0.2.1:0: Cannot assign requested address (" in told


def test_a_damaged_store_is_told_by_its_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Threat 82."""
    file.write_text('[store]\ndirectory = "state"\n')
    assert main(["init", "--config", str(file)]) == os.EX_OK
    database = file.parent / "state/gatepost.db"
    with database.open("r+b") as handle:
        handle.write(b"\x00" * 65_536)
    assert main(["check", "--config", str(file)]) != os.EX_OK
    assert str(database) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("UPDATE admin SET login = CAST(x'62ff' AS TEXT)", "a text of the table admin is none any more"),
        (
            "INSERT INTO folder VALUES ('no@in.test', 'Archive', 'SPAM', 1, 1, 0, 0)",
            "a folder is counted that is empty",
        ),
    ],
)
def test_what_sqlite_finds_nothing_wrong_with_is_told(
    file: Path, capsys: pytest.CaptureFixture[str], broken: str, told: str
) -> None:
    file.write_text('[store]\ndirectory = "state"\n')
    assert main(["init", "--config", str(file)]) == os.EX_OK
    database = file.parent / "state/gatepost.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(broken)
    assert main(["check", "--config", str(file)]) == os.EX_DATAERR
    said = capsys.readouterr().err
    assert str(database) in said and told in said


@pytest.mark.parametrize("emptied", [False, True], ids=["gone", "empty"])
@pytest.mark.parametrize("rest", ["spool/ab/mail", "done.log", "search.db"])
def test_a_lost_database_is_never_replaced_and_the_spool_not_swept(
    file: Path, capsys: pytest.CaptureFixture[str], rest: str, emptied: bool
) -> None:
    """A new one would sweep the bodies of all large mails, and refuse every domain for good."""
    file.write_text('[store]\ndirectory = "state"\n')
    assert main(["init", "--config", str(file)]) == os.EX_OK
    left = file.parent / "state" / rest
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"x")
    database = file.parent / "state/gatepost.db"
    database.write_bytes(b"") if emptied else database.unlink()
    for command in ("check", "init", "serve"):
        assert main([command, "--config", str(file)]) == os.EX_DATAERR
        assert f"{database}: the database is lost" in capsys.readouterr().err
    assert left.read_bytes() == b"x"


def test_a_lost_key_is_never_replaced(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('[store]\ndirectory = "state"\n')
    assert main(["init", "--config", str(file)]) == os.EX_OK
    key = file.parent / "state/master.key"
    key.rename(file.parent / "elsewhere")
    assert main(["check", "--config", str(file)]) == os.EX_CONFIG
    assert "master.key" in capsys.readouterr().err
    assert not key.exists()


def test_a_key_that_is_not_there_is_named(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chain = file.parent / "chain.pem"
    chain.write_bytes(trustme.CA().issue_cert("gate.example").cert_chain_pems[0].bytes())
    missing = file.parent / "key.pem"
    file.write_text(f'[smtp]\ncertificate = "{chain}"\nkey = "{missing}"\n[[smtp.listener]]\nlisten = "127.0.0.1:0"\n')
    assert main(["check", "--config", str(file)]) == os.EX_CONFIG
    assert f"No such file or directory: '{missing}'" in capsys.readouterr().err
