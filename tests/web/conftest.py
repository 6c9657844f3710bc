"""The whole site, pages and API, for tests of the pages."""

from tests.api.conftest import api

__all__ = ["api"]
