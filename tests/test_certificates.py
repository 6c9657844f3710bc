"""Certificates are told of before they run out."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from structlog.testing import capture_logs

from gatepost.certificates import Ends, tell_end
from gatepost.events import Metrics

NOW = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("end", "warned"), [(datetime(2026, 12, 20, tzinfo=UTC), False), (datetime(2026, 12, 10, tzinfo=UTC), True)]
)
def test_a_certificate_s_end_is_shown_and_warned_of_when_it_is_near(
    tmp_path: Path, end: datetime, warned: bool
) -> None:
    path = tmp_path / "chain.pem"
    path.write_bytes(trustme.CA().issue_cert("gate.example", not_after=end).cert_chain_pems[0].bytes())
    metrics = Metrics()
    with capture_logs() as logs:
        tell_end(str(path), metrics, lambda: int(NOW.timestamp() * 1000))
    assert metrics.registry.get_sample_value("gatepost_certificate_end_seconds", {"file": str(path)}) == end.timestamp()
    told = [{"event": "certificate runs out", "file": str(path), "at": end.isoformat(), "log_level": "warning"}]
    assert logs == (told if warned else [])


@pytest.mark.parametrize(
    "text", [None, b"", b"-----BEGIN TRUSTED CERTIFICATE-----\nMAA=\n-----END TRUSTED CERTIFICATE-----\n"]
)
def test_a_certificate_that_is_gone_or_not_understood_fails_nobody(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "chain.pem"
    if text is not None:
        path.write_bytes(text)
    metrics = Metrics()
    if text is not None:
        metrics.certificates.labels(str(path)).set(1.0)
    with capture_logs() as logs:
        tell_end(str(path), metrics, lambda: 0)
    assert [(line["event"], line["file"]) for line in logs] == [("certificate of unknown end", str(path))]
    assert metrics.registry.get_sample_value("gatepost_certificate_end_seconds", {"file": str(path)}) is None


@pytest.mark.anyio
async def test_a_certificate_that_nobody_renews_is_warned_of_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "chain.pem"
    end = datetime(2027, 3, 1, tzinfo=UTC)
    path.write_bytes(trustme.CA().issue_cert("gate.example", not_after=end).cert_chain_pems[0].bytes())
    days = iter([NOW, end - timedelta(days=20), end - timedelta(days=13), end + timedelta(days=1)])
    over = asyncio.Event()

    def clock() -> int:
        day = next(days, None)
        if day is None:
            over.set()
        return int((day or NOW).timestamp() * 1000)

    metrics = Metrics()
    with capture_logs() as logs:
        tell_end(str(path), metrics, clock)
        ends = Ends(metrics, clock, period=0.0)
        await ends.start()
        await over.wait()
        await ends.stop()
    told = {"event": "certificate runs out", "file": str(path), "at": end.isoformat(), "log_level": "warning"}
    assert logs == [told, told]
