"""The commands of the EGroupware mail document, given to curl as they stand there."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from tests.api.kept import Desk, open_desk

from gatepost.model.policy import Policy
from gatepost.model.query import All

pytestmark = [pytest.mark.conformance, pytest.mark.anyio]

MAIL = '{"to":["info@egroupware.org"],"subject":"Testmail","body":"This is a test :)\\n\\nRegards"}'


class Curl:
    """Runs curl against a house as bob."""

    def __init__(self, desk: Desk) -> None:
        self.base = f"{desk.house.gatepost.urls[0]}/egroupware/groupdav.php"
        self.user = ("--user", f"bob@served.example:{desk.bob}")

    async def start(self, place: str, *options: str, user: bool = True) -> asyncio.subprocess.Process:
        place = place if place.startswith("http") else self.base + place
        words = ["curl", "-s", "-i", place, *(self.user if user else ()), *options]
        return await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)

    async def ask(self, place: str, *options: str, user: bool = True) -> tuple[int, dict[str, str], str]:
        """Return status, headers and body."""
        said, _ = await (await self.start(place, *options, user=user)).communicate()
        head, _, body = said.decode().replace("\r\n", "\n").partition("\n\n")
        first, *fields = head.split("\n")
        return (
            int(first.split()[1]),
            {name.lower(): text for name, _, text in (f.partition(": ") for f in fields)},
            body,
        )


async def test_the_commands_of_the_document_do_what_it_says(tmp_path: Path) -> None:
    async with open_desk(tmp_path, http={"listen": ["127.0.0.1:0"], "base_url": ""}) as desk:
        kept = desk.house.store.reader.first(Policy, All(()))
        assert kept is not None
        await desk.house.store.write(lambda writer: writer.change(Policy, kept.id, outgoing=True))
        curl = Curl(desk)
        status, _, body = await curl.ask("/mail", "-H", "Accept: application/json")
        assert (status, json.loads(body)) == (200, {"responses": {"/bob@served.example/mail/1": "bob@served.example"}})

        given = ("-X", "POST", "-H", "Content-Type: application/json", "--data-binary", MAIL)
        status, _, body = await curl.ask("/mail", *given)
        assert (status, json.loads(body)) == (200, {"status": 200, "message": "Mail successful sent"})
        status, headers, body = await curl.ask("/mail", *given, user=False)
        assert (status, headers["x-webdav-status"], body) == (401, "401 Unauthorized", "")

        (tmp_path / "plan.txt").write_bytes(b"1. Rest")
        file = ("--data-binary", f"@{tmp_path / 'plan.txt'}", "-H", "Content-Type: text/plain")
        status, headers, body = await curl.ask("/mail/attachments/plan.txt", *file)
        assert (status, json.loads(body)["message"]) == (302, "Attachment stored")
        assert (await curl.ask(headers["location"]))[2] == "1. Rest"
        more = json.dumps({**json.loads(MAIL), "attachments": [headers["location"]]})
        assert (await curl.ask("/mail/1", *given[:-1], more))[0] == 200
        assert len(await desk.house.sink.wait(2)) == 2

        assert (await curl.ask("/mail/compose", *given))[0] == 404
        stream = await curl.start("/mail/events", "-N")
        assert stream.stdout is not None
        while not (await stream.stdout.readline()).startswith(b": open"):
            pass
        status, _, body = await curl.ask("/mail/compose", *given)
        assert (status, json.loads(body)["message"]) == (200, "Request to open compose window sent")
        while not (line := await stream.stdout.readline()).startswith(b"data: "):
            pass
        stream.terminate()
        await stream.wait()
        status, _, page = await curl.ask(json.loads(line[6:])["url"], user=False)
        assert status == 200 and "This is a test :)" in page
