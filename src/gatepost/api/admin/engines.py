"""The engines beside Gatepost, and how their servers do (an addition)."""

from gatepost.api.endpoint import endpoint
from gatepost.model.access import Caller
from gatepost.model.engine import EngineServer
from gatepost.services.engines import Engines


@endpoint("GET", "/engines", permission="OPTIONS_READ", addition=True)
async def list_engines(engines: Engines, caller: Caller) -> list[EngineServer]:
    """List the servers of ClamAV, Rspamd and the like: which are up, and what is wrong with the others."""
    return engines.standing(caller)
