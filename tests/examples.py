"""How many random examples a test takes: a part of them at each run, all of them in `make soak`."""

from hypothesis import settings


def examples(full: int) -> int:
    """Return how many of `full` examples are taken under the profile that is loaded (conftest.py)."""
    return full * settings.default.max_examples // 100
