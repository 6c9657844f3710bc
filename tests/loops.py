"""Which loops tests of sockets run on: uvloop's, as a daemon does, and asyncio's, which serves where that is missing.

A file takes `LOOPS` for its `anyio_backend`: its tests run on uvloop, and in the long form on the other too. What hangs
on how a loop reads, writes and closes is marked `on_each_loop`, and runs on both each time.
"""

import pytest

LOOPS = [pytest.param(True, id="uvloop"), pytest.param(False, id="asyncio", marks=pytest.mark.soak)]

on_each_loop = pytest.mark.parametrize("anyio_backend", [True, False], ids=["uvloop", "asyncio"], indirect=True)
