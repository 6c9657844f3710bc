"""Runs an asynchronous program on the fastest loop at hand; what keeps it from starting becomes an exit code."""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, TypeVar

from gatepost.cli.failure import Failure, cause
from gatepost.process import loop_factory
from gatepost.settings import SettingsError
from gatepost.sockets import BadEndpoint
from gatepost.store.health import StoreProblem

T = TypeVar("T")


def run(program: Coroutine[Any, Any, T]) -> T:
    """Run to the end; raise Failure for wrong settings, an unusable store or a port that is taken."""
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(program)
    except StoreProblem as problem:
        raise Failure(str(problem), problem.code) from problem
    except (SettingsError, BadEndpoint) as error:
        raise Failure(str(error), os.EX_CONFIG) from error
    except OSError as error:
        raise Failure(cause(error), os.EX_UNAVAILABLE) from error
