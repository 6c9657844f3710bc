"""The engines that a site runs beside Gatepost: how their servers do, for who looks after the platform."""

from collections.abc import Sequence

from gatepost.events import Metrics
from gatepost.filters.engine import Engine
from gatepost.model.access import Caller
from gatepost.model.engine import EngineServer, Standing
from gatepost.services.access import require


class Engines:
    """Shows the servers of the engines in force, and has the metrics follow them."""

    def __init__(self, engines: Sequence[Engine], metrics: Metrics) -> None:
        self._engines = engines
        for engine in engines:
            for server in engine.servers:
                up = metrics.engine_up.labels(engine.name, server.name)
                up.set_function(lambda server=server: float(server.standing is Standing.UP))  # type: ignore[misc]

    def standing(self, caller: Caller) -> list[EngineServer]:
        """Return every server as it stands now."""
        require(caller, "OPTIONS_READ")
        return [server.told() for engine in self._engines for server in engine.servers]
