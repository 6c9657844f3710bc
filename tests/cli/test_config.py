"""`gatepost config` and how the settings come together."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from gatepost.cli.main import main
from gatepost.configuration import load
from gatepost.settings import SettingsError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gatepost.toml"
    path.write_text('[store]\ndirectory = "state"\n[http]\nlisten = ["127.0.0.1:8025"]\n')
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/10-smtp.toml").write_text('[smtp]\nhostname = "mx.example.org"\n')
    return path


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = main([str(arg) for arg in args])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_each_setting_is_shown_with_its_origin(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATEPOST_RELAY__MX_PORT", "2626")
    code, out, _ = run(capsys, "config", "show", "--origin", "--config", file)
    assert code == os.EX_OK
    assert f'http.listen = ["127.0.0.1:8025"]  # {file}\n' in out
    assert f'smtp.hostname = "mx.example.org"  # {file.parent}/conf.d/10-smtp.toml\n' in out
    assert "relay.mx_port = 2626  # GATEPOST_RELAY__MX_PORT\n" in out
    assert "queue.life = 432_000  # default\n" in out
    assert f'store.directory = "{file.parent}/state"' in out


def test_the_same_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "config", "show", "--json", "--config", file)
    rows = {row["key"]: row for row in json.loads(out)}
    assert code == os.EX_OK
    assert rows["smtp.listener"]["value"][0]["role"] == "mx"
    assert rows["http.listen"]["origin"] == str(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[smtp]\nhostnam = 'x'\n", "smtp.hostnam: unknown key (did you mean hostname?)"),
        ("[smpt]\nhostname = 'x'\n", "smpt: unknown key (did you mean smtp?)"),
        ("[queue]\nlife = 'long'\n", "queue.life: Expected `int`, got `str`"),
        ("[dns]\nsilent = 0\n", "dns.silent: Expected `int` >= 1"),
        ("[dns]\nrest = 0\n", "dns.rest: Expected `float` >= 0.1"),
        ("[queue\n", "Expected ']'"),
        (f"a = {'[' * 5000}", ": nested too deeply"),
        ("[store]\ndirectory = ''\n", "store.directory: '': that names no folder"),
        ('[store]\ndirectory = "a\\u0000b"\n', "store.directory: 'a\\x00b': that names no folder"),
        ("[store]\ndirectory = '~nobody-of-that-name/x'\n", "store.directory: '~nobody-of-that-name/x': Could not"),
        (
            "[[smtp.listener]]\nrole = 'MX'\n",
            "smtp.listener[0].role: Invalid enum value 'MX'; there are mx, submission, trusted",
        ),
        ("[smtp]\nhostname = 'mail gate'\n", "smtp.hostname: 'mail gate': the domain is malformed"),
        ("[smtp]\nhostname = 'gäte.example'\n", "smtp.hostname: 'gäte.example': write xn--gte-qla.example"),
        ("[smtp]\nhostname = '192.0.2.1'\n", "smtp.hostname: '192.0.2.1': a bare IP address"),
        ("[smtp]\npostmaster = 'nobody'\n", "smtp.postmaster: 'nobody': the address has no domain"),
        ("[smtp]\ngateway_names = ['mx1.gate.example', 'm x']\n", "smtp.gateway_names: 'm x': "),
        ("[http]\nbase_url = 'gate.example'\n", "http.base_url: 'gate.example': expected http:// or https://"),
        ("[http]\nbase_url = 'https://gate.example:none'\n", "http.base_url: "),
        ("[http]\ntrusted_proxies = ['proxy']\n", "http.trusted_proxies: 'proxy' does not appear to be"),
        ("[relay]\nsource_address = 'eth0'\n", "relay.source_address: 'eth0' does not appear to be"),
        ("[relay]\nprivate_platforms = 'admins'\n", "relay.private_platforms: Invalid enum value 'admins'"),
        ("[dkim]\nselector = 'a b'\n", "dkim.selector: 'a b': "),
        ("[health]\nchecks = ['MX', 'BIMI']\n", "health.checks[1]: Invalid enum value 'BIMI'; there are DANE, DKIM, "),
        ("[tls_reports]\nsender = 'nobody'\n", "tls_reports.sender: 'nobody': "),
        ("[email]\nsender = 'nobody'\n", "email.sender: 'nobody': "),
        ("[outgoing]\nreport_to = 'nobody'\n", "outgoing.report_to: 'nobody': "),
    ],
)
def test_a_wrong_file_is_named_with_the_key_at_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    code, out, err = run(capsys, "config", "show", "--config", path)
    assert (code, out) == (os.EX_CONFIG, "")
    assert said in err
    assert str(path) in err


def test_a_missing_file_is_an_error_of_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "config", "show", "--config", tmp_path / "none.toml")
    assert code == os.EX_CONFIG
    assert "none.toml: no such file" in err
    assert run(capsys, "config", "show", "--config", "/dev/null")[::2] == (78, "Error: /dev/null: no file\n")


def test_the_default_file_sets_nothing_and_names_every_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "config", "default")
    assert code == os.EX_OK
    (tmp_path / "gatepost.toml").write_text(out)
    (tmp_path / "empty.toml").touch()  # this machine's own settings are not asked
    assert load(tmp_path / "gatepost.toml", {}).settings == load(tmp_path / "empty.toml", {}).settings
    awake = "\n".join(line.removeprefix("#") for line in out.splitlines() if not line.startswith("# "))
    (tmp_path / "awake.toml").write_text(awake)
    assert load(tmp_path / "awake.toml", {}).origin.keys() > {"smtp.hostname", "limits.idle", "store.directory"}


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from gatepost.cli.main import gatepost

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in CliRunner().invoke(gatepost, ["filters"], color=True).output


@pytest.mark.parametrize(
    ("name", "key"),
    [("GATEPOST_FILTERS__VIRUS__SUMS_FILE", "virus"), ("GATEPOST_FILTERS__URI_LISTS__SKIP_FILE", "uri_lists")],
)
def test_a_variable_for_a_key_that_names_a_file_gives_its_name_not_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    named = tmp_path / "list"
    named.write_text("text")
    monkeypatch.setenv(name, str(named))
    options = load(None).settings.filters.options
    assert options[key] == {name.rpartition("__")[2].lower(): str(named)}


def test_a_variable_whose_file_is_no_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "name").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("GATEPOST_SMTP__HOSTNAME_FILE", str(tmp_path / "name"))
    with pytest.raises(SettingsError, match="GATEPOST_SMTP__HOSTNAME_FILE: 'utf-8' codec"):
        load(None)


def test_a_conf_d_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """What lies in it would silently not be in force."""
    (tmp_path / "gatepost.toml").touch()
    (tmp_path / "conf.d").symlink_to("conf.d")  # a loop, for root may list every folder
    with pytest.raises(SettingsError, match=r"conf\.d: Too many levels of symbolic links"):
        load(tmp_path / "gatepost.toml")


def test_names_and_addresses_of_every_form_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "good.toml"
    path.write_text(
        """\
[smtp]
hostname = "[192.0.2.1]"
postmaster = '"post master"@gate.example'
gateway_names = ["MX1.gate.example", "2001:db8::1"]
[http]
base_url = "https://[2001:db8::1]:8443/gate/"
trusted_proxies = ["*", "10.0.0.0/8", "::1"]
[relay]
source_address = "2001:db8::1"
"""
    )
    assert load(path).settings.smtp.hostname == "[192.0.2.1]"


def test_a_byte_order_mark_before_the_settings_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "gatepost.toml"
    file.write_bytes(b'\xef\xbb\xbf[smtp]\r\nhostname = "mx.example.org"\r\n')
    assert load(file).settings.smtp.hostname == "mx.example.org"
