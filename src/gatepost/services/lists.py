"""Makes the services of the lists that come as files, over a store that is only read: an exporter has no others."""

import msgspec

from gatepost.events import Clock
from gatepost.model.route import Platform
from gatepost.services.filters import AttachmentRules, UriRules
from gatepost.services.groups import Groups
from gatepost.services.platforms import Platforms, PlatformView
from gatepost.services.rules import SenderRules
from gatepost.services.scratch import Scratch
from gatepost.services.targets import Targets
from gatepost.services.users import UserLists
from gatepost.store.store import Store


class Closed(Platforms):
    """Platforms without the settings that are sealed: no file shows them, and an exporter has no key."""

    def view(self, platform: Platform) -> PlatformView:
        return super().view(msgspec.structs.replace(platform, api_data=None, auth_data=None))


def make_lists(store: Store, clock: Clock) -> list[object]:
    """Return the services, for reading alone."""
    return [
        AttachmentRules(store, clock),
        UriRules(store, clock),
        SenderRules(store, clock),
        UserLists(store, Closed(store.secrets, Targets("nobody"))),
        Groups(store, members=0),
        Scratch(store.path),
    ]
