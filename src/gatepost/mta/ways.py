"""Says where a delivery goes: by what was chosen by hand, its platform or connection, the default relay, or MX."""

from gatepost.events import log
from gatepost.model.address import parse_address
from gatepost.model.connection import BadProperty, Connection, connection_route
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Where
from gatepost.model.route import Platform, Route, platform_route, read_hop
from gatepost.model.stored import Delivery
from gatepost.mta.directory import Directory
from gatepost.mta.home import home
from gatepost.store.secrets import Unsealable
from gatepost.store.store import Store

DEFAULT = Where("project_id", Op.NULL)  # the connection that is the platform's default relay


class Ways:
    """Finds routes; what was read of connections and platforms is good until configuration changes."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory
        self._generation = -1
        self._routes: dict[int, Route | None] = {}  # by connection
        self._to_platforms: dict[int, Route] = {}
        self._default: Connection | None = None

    def of(self, delivery: Delivery) -> Route:
        """Return the way of a delivery; raise Problem(UNPROCESSABLE) while there is none."""
        if delivery.via:
            return Route(hops=(read_hop(delivery.via),))
        self._refresh()
        if delivery.platform_id is not None:
            known = self._to_platforms.get(delivery.platform_id)
            return known or self._to_platform(delivery.platform_id, delivery.recipient)
        default = self._default.id if self._default else None
        connection_id = delivery.connection_id or default
        if connection_id is None:
            return Route(domain=delivery.recipient.rpartition("@")[2])
        return self._over(connection_id)

    def _to_platform(self, platform_id: int, recipient: str) -> Route:
        platform = self._directory.platform(platform_id)
        if platform is not None:
            route = self._to_platforms[platform_id] = platform_route(platform)
            return route
        platform = self._platform_now(recipient)
        if platform is None:
            raise Problem(Kind.UNPROCESSABLE, "the recipient's mail server is no longer configured")
        return platform_route(platform)

    def _platform_now(self, recipient: str) -> Platform | None:
        """Return the mail server of a recipient whose former one was taken away; None where there is none."""
        place = home(self._store.reader, parse_address(recipient))
        return self._directory.platform(place.platform_id) if place and place.platform_id else None

    def default(self) -> Connection | None:
        """Return the platform's default relay."""
        self._refresh()
        return self._default

    def _over(self, connection_id: int) -> Route:
        if connection_id not in self._routes:
            self._routes[connection_id] = self._read(connection_id)
        route = self._routes[connection_id]
        if route is None:
            raise Problem(Kind.UNPROCESSABLE, "the connection is switched off, or no longer there")
        return route

    def _read(self, connection_id: int) -> Route | None:
        row = self._store.reader.get(Connection, connection_id)
        if row is None or not row.enabled:
            return None
        try:
            return connection_route(row, self._store.secrets.unseal(row.password) if row.password else None)
        except (Unsealable, BadProperty) as error:  # its mail waits until it is saved anew
            log.error("connection can't be used", id=connection_id, why=str(error))
            return None

    def _refresh(self) -> None:
        generation = self._store.generation
        if self._generation != generation:
            default = self._store.reader.first(Connection, DEFAULT)
            self._routes.clear()
            self._to_platforms.clear()
            self._generation, self._default = generation, default
