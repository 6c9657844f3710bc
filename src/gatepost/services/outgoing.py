"""Makes the services for the ways by which mail leaves: the default relay, connections, and their trial."""

from gatepost.dns import Resolver
from gatepost.events import Clock
from gatepost.mta.probe import Prober
from gatepost.services.bindings import Bindings
from gatepost.services.connections import Connections
from gatepost.services.mail_config import MailConfigs
from gatepost.services.projects import Projects
from gatepost.services.targets import Targets
from gatepost.services.trial import Trial
from gatepost.settings import Settings
from gatepost.store.store import Store


def make_outgoing(
    store: Store, prober: Prober, targets: Targets, resolver: Resolver, settings: Settings, clock: Clock
) -> list[object]:
    """Return the services."""
    per_minute = settings.health.runs_per_minute
    trial = Trial(prober, targets, resolver, settings.hostname, per_minute=per_minute, clock=clock)
    return [
        Bindings(store),
        Connections(store, targets, trial),
        MailConfigs(store, targets, trial),
        Projects(store, clock),
    ]
