"""Where files that are made for a client lie meanwhile: in folders of the temporary directory."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path


class Scratch:
    """The folders of one store, known by their names: what a crash left there the next start takes away."""

    def __init__(self, store: Path) -> None:
        digest = hashlib.sha256(os.fsencode(store.resolve())).hexdigest()
        self._prefix = f"gatepost-{digest[:16]}-"

    def folder(self) -> "tempfile.TemporaryDirectory[str]":
        """Make a folder, to be cleaned up by who asked; raises OSError."""
        return tempfile.TemporaryDirectory(prefix=self._prefix)

    def clear(self) -> None:
        """Take away what is there, while the store is ours alone; what can't be read or is another user's stays."""
        with contextlib.suppress(OSError):
            for path in Path(tempfile.gettempdir()).glob(f"{self._prefix}*"):
                if path.lstat().st_uid == os.geteuid():
                    shutil.rmtree(path, ignore_errors=True)
