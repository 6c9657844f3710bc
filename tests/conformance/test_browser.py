"""The API browser in Chromium: it lists every operation, and its console stays silent under the page's own policy."""

import asyncio
import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from gatepost.api import site
from gatepost.app import Gatepost
from gatepost.settings import Settings

pytestmark = [pytest.mark.conformance, pytest.mark.anyio]

FLAGS = (
    "--headless",
    "--no-sandbox",  # it runs as root in CI, and opens nothing but our own page
    "--disable-gpu",
    "--force-device-scale-factor=0.1",  # few points to be painted
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=30000",
    "--dump-dom",
)
LOUD = "data:text/html,<script>console.error('loud')</script>"


async def look(folder: Path, address: str, *, height: int = 600) -> tuple[str, list[str]]:
    """Return a page as it stands once it has settled, and what its console said."""
    flags = (*FLAGS, f"--window-size=1200,{height}", f"--user-data-dir={folder}")
    process = await asyncio.create_subprocess_exec(
        "chromium", *flags, address, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    page, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    return page.decode(), [line for line in log.decode().splitlines() if ":CONSOLE:" in line]


async def test_the_api_browser_lists_every_operation_without_a_complaint(tmp_path: Path, anyio_backend: str) -> None:
    sections = {
        "store": {"directory": str(tmp_path / "state"), "reserve_bytes": 0, "reserve_percent": 0.0},
        "http": {"listen": ["127.0.0.1:0"]},
        "smtp": {"listener": [{"role": "mx", "listen": "127.0.0.1:0"}]},
    }
    async with Gatepost(msgspec.convert(sections, Settings)) as gatepost:
        page, said = await look(tmp_path / "browser", f"{gatepost.urls[0]}/docs", height=60_000)  # drawn once in view
    assert said == []
    described = {each.name for each in site.operations() if not each.local}
    assert set(re.findall(r'id="operations-[\w-]+?-(\w+)" ?', page)) & described == described


async def test_a_complaint_would_be_heard(tmp_path: Path, anyio_backend: str) -> None:
    _, said = await look(tmp_path / "browser", LOUD)
    assert len(said) == 1 and "loud" in said[0]
