"""Gatepost: a mail security relay with its management API in one process, and its face for programs that embed it."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gatepost.app import Gatepost
    from gatepost.configuration import load
    from gatepost.services.setup import init
    from gatepost.settings import Settings, SettingsError

__all__ = ["Gatepost", "Settings", "SettingsError", "init", "load"]

_ROOMS = {
    "Gatepost": "app",
    "Settings": "settings",
    "SettingsError": "settings",
    "init": "services.setup",
    "load": "configuration",
}


def __getattr__(name: str) -> object:
    """Fetch a name when it is asked for: a reader or a command that needs one room does not import them all."""
    if name in _ROOMS:
        return getattr(import_module(f"gatepost.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
