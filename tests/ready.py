"""A store that is made once and copied for each test: making the tables takes longer than most tests."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from gatepost.events import Metrics
from gatepost.settings import StoreSettings
from gatepost.store.store import Store


def lay_store(directory: Path) -> None:
    """Put a fresh, closed store into a directory that has none yet."""
    if not (directory / "gatepost.db").exists():
        shutil.copytree(_made().name, directory, dirs_exist_ok=True)


@cache
def _made() -> "tempfile.TemporaryDirectory[str]":
    made = tempfile.TemporaryDirectory(prefix="gatepost-ready-")
    settings = StoreSettings(directory=made.name)
    Store.open(Path(made.name), clock=lambda: 0, metrics=Metrics(), settings=settings).close_sync()
    return made
