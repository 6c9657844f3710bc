"""What every small process works with, loaded once where all of them are forked from."""

from tests.faults import small
from tests.store import worker

from gatepost.api.site import operations
from gatepost.dns import Resolver
from gatepost.events import wall_clock
from gatepost.filters import registry
from gatepost.settings import Dns, Filters, Limits

__all__ = ["small", "worker"]

registry.load(Filters(), registry.Tools(limits=Limits(), resolver=Resolver(Dns(), wall_clock)))
operations()
