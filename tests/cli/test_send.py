"""`gatepost send` against a real SMTP server."""

import asyncio
import os
import sys
from pathlib import Path
from shlex import quote

import pytest
from click.testing import CliRunner
from tests.peers.sink import Sink, authority, server_tls

from gatepost.cli.main import gatepost, main

pytestmark = pytest.mark.anyio


async def send(sink: Sink, *args: str) -> int:
    """Run the command in a thread, so that the sink in this loop can answer."""
    server = ["send", "--server", f"{sink.host}:{sink.port}", "--helo", "client.test"]
    return await asyncio.to_thread(main, [*server, *args])


async def test_a_mail_goes_out_with_text_header_and_attachment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("a note")
    async with Sink() as sink:
        code = await send(
            sink, "--to", "u@example.net", "--from", "a@example.org", "--subject", "Hi", "--header", "X-Try: 1",
            "--attach", str(tmp_path / "notes.txt"),
        )  # fmt: skip
        mail = (await sink.wait())[0]
    assert code == os.EX_OK
    assert (mail.sender, mail.recipients) == ("a@example.org", ["u@example.net"])
    for line in (b"Subject: Hi\r\n", b"X-Try: 1\r\n", b'filename="notes.txt"'):
        assert line in mail.data
    out = capsys.readouterr().out.replace("rcpt TO:", "rcpt to:")  # as smtplib says it since Python 3.13
    assert " -> rcpt to:<u@example.net>\n" in out
    assert "<-  250 2.0.0 Ok: queued as SINK000001\n" in out


async def test_a_whole_mail_goes_out_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mail.eml").write_bytes(b"Subject: raw\r\n\r\n.dot\r\n")
    async with Sink() as sink:
        assert await send(sink, "--to", "u@example.net", "--from", "<>", "--data", str(tmp_path / "mail.eml")) == 0
        mail = (await sink.wait())[0]
    assert (mail.sender, mail.data) == ("", b"Subject: raw\r\n\r\n.dot\r\n")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ({"dot": "550 5.7.1 no"}, os.EX_DATAERR),
        ({"dot": "451 4.3.0 later"}, os.EX_TEMPFAIL),
        ({"MAIL": "550 5.7.1 no"}, os.EX_DATAERR),
        ({"RCPT": "450 4.2.1 later"}, os.EX_TEMPFAIL),
        ({"DATA": "554 5.5.1 no"}, os.EX_DATAERR),
        ({"banner": "421 4.3.2 busy"}, os.EX_TEMPFAIL),
    ],
)
async def test_the_exit_code_says_what_became_of_the_mail(script: dict[str, str], code: int) -> None:
    async with Sink(dict(script)) as sink:
        assert await send(sink, "--to", "u@example.net", "--quiet") == code
        assert not sink.mails


async def test_one_refused_recipient_makes_a_failure_and_the_others_get_the_mail() -> None:
    async with Sink({"RCPT <no@example.net>": "550 5.1.1 unknown"}) as sink:
        assert await send(sink, "--to", "no@example.net", "--to", "yes@example.net") == os.EX_DATAERR
        assert (await sink.wait())[0].recipients == ["yes@example.net"]


async def test_starttls_is_used_and_its_certificate_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ca = authority()
    async with Sink(tls=server_tls(ca, "127.0.0.1")) as sink:
        assert await send(sink, "--to", "u@example.net", "--tls", "starttls") == os.EX_PROTOCOL
        assert "its certificate is not trusted" in (said := capsys.readouterr().err)
        assert "(--ca-file names other authorities, --no-tls-verify asks none)" in said
        ca.cert_pem.write_to_path(tmp_path / "ca.pem")
        trusting = ("--ca-file", str(tmp_path / "ca.pem"))
        assert await send(sink, "--to", "u@example.net", "--tls", "starttls", *trusting) == os.EX_OK
        assert (await sink.wait())[0].tls
        (tmp_path / "ca.pem").write_text("no certificate")
        assert await send(sink, "--to", "u@example.net", "--tls", "starttls", *trusting) == os.EX_USAGE
        assert "Error: --ca-file: " in capsys.readouterr().err
        assert await send(sink, "--to", "u@example.net", "--tls", "starttls", "--no-tls-verify") == os.EX_OK


async def test_no_server_is_unavailable(unused_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    server = f"127.0.0.1:{unused_port}"
    code = await asyncio.to_thread(main, ["send", "--server", server, "--to", "u@example.net"])
    assert code == os.EX_UNAVAILABLE
    assert capsys.readouterr().err == f"Error: {server}: Connection refused\n"


@pytest.mark.parametrize("args", [["--header", "no colon"], ["--server", "a:b:c"]])
async def test_wrong_options_are_refused(args: list[str]) -> None:
    assert await asyncio.to_thread(main, ["send", "--to", "u@example.net", *args]) == os.EX_USAGE


async def test_the_password_is_never_shown() -> None:
    """Threat 92."""
    script = {"EHLO": "250-sink.test\r\n250 AUTH PLAIN", "AUTH": "235 2.7.0 Ok"}
    async with Sink(script) as sink:
        server = ["send", "--server", f"127.0.0.1:{sink.port}", "--to", "u@example.net"]
        args = [*server, "--auth-user", "u@example.net", "--password-stdin"]
        done = await asyncio.to_thread(CliRunner().invoke, gatepost, args, "hunter2\n")
        assert any(command.startswith("AUTH PLAIN ") for command in sink.commands)
    assert "(sign-in)" in done.output
    assert "AUTH PLAIN " not in done.output


async def test_a_proxy_header_goes_before_all_else(unused_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    """What a listener with `proxy_protocol_from` asks of its peers."""
    heard: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readline())
        writer.write(b"554 5.7.1 no\r\n")
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", unused_port)
    args = ["send", "--server", f"127.0.0.1:{unused_port}", "--to", "u@example.net", "--proxy"]
    assert await asyncio.to_thread(main, [*args, "192.0.2.9"]) == os.EX_DATAERR
    assert await asyncio.to_thread(main, [*args, "2001:db8::9"]) == os.EX_DATAERR
    assert await asyncio.to_thread(main, [*args, "nowhere"]) == os.EX_USAGE
    server.close()
    assert [line.split()[:4] for line in heard] == [
        [b"PROXY", b"TCP4", b"192.0.2.9", b"127.0.0.1"],
        [b"PROXY", b"TCP6", b"2001:db8::9", b"2001:db8::9"],
    ]
    assert "--proxy: 'nowhere' is no IP address" in capsys.readouterr().err


async def test_what_speaks_no_smtp_is_told_as_such(unused_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", unused_port):
        args = ["send", "--server", f"127.0.0.1:{unused_port}", "--to", "u@example.net"]
        assert await asyncio.to_thread(main, args) == os.EX_PROTOCOL
    assert "this is no SMTP" in capsys.readouterr().err


async def test_a_line_end_in_a_command_is_wrong_usage() -> None:
    async with Sink() as sink:
        assert await send(sink, "--to", "u@example.net", "--helo", "a\nb") == os.EX_USAGE


async def test_an_output_that_fails_is_not_laid_at_the_servers_door() -> None:
    async with Sink() as sink:
        command = (
            f"{quote(sys.executable)} -m gatepost send --server 127.0.0.1:{sink.port} --to u@example.net > /dev/full"
        )
        process = await asyncio.create_subprocess_shell(command, stderr=asyncio.subprocess.PIPE)
        told = (await process.communicate())[1]
    assert (process.returncode, told) == (os.EX_IOERR, b"Error: standard output: No space left on device\n")
