"""What the services stand on: the store, the mail road's rooms and the tools, as app.py has made them."""

from collections.abc import Sequence
from dataclasses import dataclass

from gatepost.events import Clock, Metrics
from gatepost.filters.engine import Engine
from gatepost.message.mail import Opener
from gatepost.mta.directory import Directory
from gatepost.mta.indexer import Indexer
from gatepost.mta.intake import Intake
from gatepost.mta.lessons import Lessons
from gatepost.mta.moves import Moves
from gatepost.mta.notices import Notices
from gatepost.mta.outgoing import Outgoing
from gatepost.mta.releases import Releases
from gatepost.mta.ways import Ways
from gatepost.services.passwords import Passwords
from gatepost.settings import Settings
from gatepost.store.store import Store


@dataclass(frozen=True, kw_only=True)
class Ground:
    """One Gatepost's rooms below its services."""

    store: Store
    settings: Settings
    clock: Clock
    metrics: Metrics
    passwords: Passwords
    opener: Opener
    engines: Sequence[Engine]
    directory: Directory
    ways: Ways
    intake: Intake
    notices: Notices
    moves: Moves
    releases: Releases
    outgoing: Outgoing
    indexer: Indexer
    lessons: Lessons
