"""What the tests of the filters share."""

from collections.abc import Iterator

import pytest
from tests.filters.mails import OPENER, RUNNER


@pytest.fixture(scope="session", autouse=True)
def opener_closed_at_the_end() -> Iterator[None]:
    yield
    RUNNER.run(OPENER.close())
    RUNNER.close()
