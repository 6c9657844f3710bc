"""What every test may use."""

from collections.abc import Iterator

import pytest
import structlog

from gatepost.events import log


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def unbound_log() -> Iterator[None]:
    """A command run in-process binds the log to the stream of its test, which is closed for the next one."""
    yield
    structlog.reset_defaults()
    vars(log).pop("bind", None)  # kept there by `cache_logger_on_first_use`
