"""Makes the services for tenants: brokers, customers, domains, and what belongs to these."""

from gatepost.events import Clock
from gatepost.services.aliases import Aliases
from gatepost.services.domains import Domains
from gatepost.services.filters import AttachmentRules, UriRules
from gatepost.services.grants import Grants
from gatepost.services.groups import Groups
from gatepost.services.mx import MxCheck
from gatepost.services.passwords import Passwords
from gatepost.services.platforms import Platforms
from gatepost.services.policies import Policies
from gatepost.services.providers import Providers
from gatepost.services.roles import Roles
from gatepost.services.rules import SenderRules
from gatepost.services.tree import Brokers, Customers
from gatepost.settings import Settings
from gatepost.store.store import Store


def make_tenancy(
    store: Store, passwords: Passwords, platforms: Platforms, mx: MxCheck, settings: Settings, clock: Clock
) -> list[object]:
    """Return the services."""
    return [
        Brokers(store, clock),
        Customers(store, clock),
        Domains(store, platforms, mx, purge_days=settings.tenancy.purge_days, clock=clock),
        Aliases(store, mx),
        Groups(store, members=settings.limits.group_members),
        Policies(store),
        Providers(store),
        Grants(store, passwords, clock),
        Roles(store, clock),
        AttachmentRules(store, clock),
        UriRules(store, clock),
        SenderRules(store, clock),
    ]
