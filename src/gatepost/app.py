"""The house: makes the rooms once, opens and closes the doors; the face for embedding, `dev`, tests and `serve`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Self

from gatepost.api.control import open_control
from gatepost.api.endpoint import Endpoint
from gatepost.api.limits import options as http_options
from gatepost.api.probes import Readiness
from gatepost.api.server import HttpDoor, check_certificate
from gatepost.api.site import Site, make_app
from gatepost.certificates import Ends, tell_end
from gatepost.configuration import check
from gatepost.dns import Resolver
from gatepost.events import Alarms, Clock, Metrics, briefly, log, wall_clock
from gatepost.filters import registry
from gatepost.filters.engine import Engine
from gatepost.message.mail import Opener
from gatepost.model.memory import Memory
from gatepost.model.problem import Problem
from gatepost.model.route import Route
from gatepost.model.stored import Delivery
from gatepost.mta.authorship import Authorship
from gatepost.mta.caller import Caller
from gatepost.mta.directory import Directory
from gatepost.mta.hooks import Hooks
from gatepost.mta.indexer import Indexer
from gatepost.mta.intake import Intake
from gatepost.mta.lessons import Lessons
from gatepost.mta.memory import Keeper
from gatepost.mta.notices import Notices
from gatepost.mta.outgoing import Outgoing
from gatepost.mta.pipeline import Pipeline
from gatepost.mta.providers import Providers
from gatepost.mta.queue import Queue
from gatepost.mta.quota import Quota
from gatepost.mta.readers import Readers
from gatepost.mta.refusals import Refusals
from gatepost.mta.relay import make_relay
from gatepost.mta.releases import Releases
from gatepost.mta.routing import Gateway, NullMx
from gatepost.mta.standing import Standing
from gatepost.mta.sweep import Sweep
from gatepost.mta.tls_reports import TlsReports
from gatepost.mta.verify import Verifier
from gatepost.mta.ways import Ways
from gatepost.services.access import Access
from gatepost.services.counter import Counter
from gatepost.services.dkim import Dkim
from gatepost.services.exporters import Exporters
from gatepost.services.ground import Ground
from gatepost.services.health import Health
from gatepost.services.making import make_services
from gatepost.services.outbox import Outbox
from gatepost.services.passwords import Passwords
from gatepost.services.presence import Presence
from gatepost.services.relocations import Relocations
from gatepost.services.reports import Reports
from gatepost.services.rounds import Rounds
from gatepost.services.scratch import Scratch
from gatepost.services.signin import SignIn
from gatepost.settings import Settings, SettingsError
from gatepost.smtp.listener import Listeners, endpoints
from gatepost.sockets import BadEndpoint, join_endpoint, listen
from gatepost.store.health import StoreProblem
from gatepost.store.search import SearchIndex
from gatepost.store.store import Store
from gatepost.web.site import pages

CONTROL = "control.sock"


class Gatepost:
    """One relay: a store, the road a mail takes, the SMTP listeners and the API, in the running loop.

        async with Gatepost(settings) as gatepost:
            ...

    `start` raises SettingsError, StoreProblem or OSError, each naming what is at fault, and leaves nothing open.
    `build` makes the rooms alone, for who wants to ask the services or the API without any door. `operations` are more
    of the API's, of the program that embeds it, `services` what they ask for; ValueError for one that nobody can call.
    `stop` returns within `[limits] shutdown` seconds or a little more; what is acknowledged is kept.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        operations: Iterable[Endpoint] = (),
        services: Iterable[object] = (),
        clock: Clock = wall_clock,
        passwords: Passwords | None = None,
    ) -> None:
        self.settings = settings
        self._operations, self._own = tuple(operations), tuple(services)
        self.clock = clock
        self._passwords = passwords or Passwords(clock)
        self.metrics = Metrics()
        self.store: Store
        self.directory: Directory
        self.ways: Ways
        self.intake: Intake
        self.outgoing: Outgoing
        self.quota: Quota
        self.keeper: Keeper
        self.lessons: Lessons
        self.queue: Queue
        self.releases: Releases
        self.refusals: Refusals
        self.caller: Caller
        self.tls_reports: TlsReports
        self.sweep: Sweep
        self.indexer: Indexer
        self.listeners: Listeners
        self.services: Counter
        self.rounds: Rounds
        self.site: Site
        self.http: list[HttpDoor] = []
        self._open: list[Callable[[], Awaitable[None]]] = []  # what `stop` closes, the last opened first
        self._bound = False
        self._stop_by = 0.0  # when a stop must be over, by the loop's clock

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the store, take up the queue, then open the doors. Raises RuntimeError where it is started already."""
        if self._open:
            raise RuntimeError("it is started already")
        try:
            self.build()
            await self.keeper.start()
            self._open.append(lambda: briefly(self.keeper.stop(), self._grace(1 / 2)))
            await self.queue.start()
            self._open.append(lambda: self.queue.stop(self._grace(1 / 2)))
            rooms = (self.caller, self.sweep, self.rounds, self.refusals, self.indexer, self.services.of(Outbox))
            for room in (*rooms, self.quota, self.tls_reports, Relocations(self.store), Ends(self.metrics, self.clock)):
                await room.start()
                self._open.append(room.stop)
            await self._open_doors()
        except Problem as problem:
            await self.stop()
            raise self.store.unusable(problem) from problem
        except BaseException:
            await self.stop()
            raise
        self._bound = True
        smtp = [join_endpoint(host, port) for _, host, port in self.listeners.addresses]
        log.info("ready", smtp=smtp, http=self.urls)

    async def stop(self) -> None:
        """Close the doors, finish what is under way, close the store; may be called twice."""
        self._bound = False
        self._stop_by = asyncio.get_running_loop().time() + self.settings.limits.shutdown
        while self._open:
            close = self._open.pop()
            try:
                await close()
            except (OSError, Problem, RuntimeError) as error:  # the last where no thread can be started
                log.error("not closed in good order", what=getattr(close, "__qualname__", ""), error=repr(error))

    def reload(self) -> None:
        """Read certificates again; sessions under way keep the old ones."""
        self.listeners.reload()
        for door in self.http:
            door.reload()

    @property
    def urls(self) -> list[str]:
        """The addresses at which the API is reached."""
        scheme = "https" if self.settings.http.certificate else "http"
        names = [address for door in self.http for address in door.addresses if isinstance(address, tuple)]
        return [f"{scheme}://{join_endpoint(host, port)}" for host, port, *_ in names]

    # The rooms.

    def build(self) -> None:
        """Open the store and make every room over it."""
        check(self.settings)
        self._make_doors(self._make_road())

    def _make_road(self) -> Ground:
        """Make the store and the road a mail takes."""
        settings, clock, metrics = self.settings, self.clock, self.metrics
        hostname = settings.hostname
        resolver = Resolver(settings.dns, clock)
        memory = Memory(settings.memory.token_bytes, settings.memory.tally_bytes)
        alarms = Alarms(metrics, clock)
        tools = registry.Tools(
            limits=settings.limits,
            resolver=resolver,
            hostname=hostname,
            timeout=settings.filters.timeout,
            alarm=alarms.tell,
            served=lambda name: self.directory.enabled(name),
            memory=memory,
        )
        filters = registry.load(settings.filters, tools)
        engines = [one for one in filters if isinstance(one, Engine)]
        self._open += [one.close for one in engines]
        self.store = Store.open(
            Path(settings.store.directory),
            clock=clock,
            metrics=metrics,
            settings=settings.store,
            refused_bytes=settings.trace.refused_bytes,
        )
        self._open.append(self.store.close)
        gateway = Gateway([hostname, *settings.smtp.gateway_names], endpoints(settings))
        relay = make_relay(self.store, settings, gateway, resolver, metrics=metrics, clock=clock)
        self._open.append(relay.close)
        opener = Opener(settings.filters, settings.limits)
        self._open.append(opener.close)
        self.keeper = Keeper(self.store, memory, settings.memory, clock=clock)
        self.lessons = Lessons(self.store, opener, memory.tokens, settings.memory, clock=clock)
        self._open.append(lambda: briefly(self.lessons.settle(), self._grace(1 / 2)))
        providers = Providers(self.store, resolver)
        verifier = Verifier(relay, clock)
        self._open.append(verifier.close)
        self.directory = Directory(
            self.store,
            settings,
            clock=clock,
            srs_key=self.store.derived("srs"),
            verify=verifier.verify,
            has_mail=NullMx(resolver, clock).takes_mail,
            providers=providers,
        )
        self.ways = Ways(self.store, self.directory)
        self.caller = Caller(self.store, resolver, settings.webhooks, clock)
        hooks = Hooks(self.store, clock, told=self.caller.wake)
        self.queue = Queue(
            self.store, relay, self.route_of, settings, hostname, clock=clock, metrics=metrics, hooks=hooks
        )
        self.releases = Releases(self.store, self.directory, self.queue, hooks, settings, clock=clock)
        self.refusals = Refusals(self.store, settings.trace, clock=clock)
        readers = Readers(settings, filters)
        self._open.append(readers.close)
        pipeline = Pipeline(filters, self.directory, resolver, settings, metrics=metrics, readers=readers)
        self.outgoing = Outgoing(settings.outgoing, memory, self.directory.may_relay, alarms, metrics, clock)
        self.quota = Quota(self.store, settings.limits.domain_bytes, alarms)
        self.intake = Intake(
            self.store,
            self.directory,
            pipeline,
            self.queue,
            settings,
            opener=opener,
            refusals=self.refusals,
            standing=Standing(memory),
            hooks=hooks,
            outgoing=self.outgoing,
            quota=self.quota,
            authorship=Authorship(self.directory, providers),
            clock=clock,
            metrics=metrics,
        )
        period, days = settings.quarantine.purge_seconds, settings.audit.days
        self.sweep = Sweep(self.store, period=period, audit_days=days, clock=clock, metrics=metrics)
        index = SearchIndex(self.store.path)
        self._open.append(index.close)
        self.indexer = Indexer(self.store, index, settings.limits, metrics)
        notices = Notices(self.store, self.directory, self.queue, opener, settings, clock)
        self.tls_reports = TlsReports(self.store, relay.flush, resolver, notices, settings, clock)
        return Ground(
            store=self.store,
            settings=settings,
            clock=clock,
            metrics=metrics,
            passwords=self._passwords,
            opener=opener,
            engines=engines,
            directory=self.directory,
            ways=self.ways,
            intake=self.intake,
            notices=notices,
            moves=self.queue.moves,
            releases=self.releases,
            outgoing=self.outgoing,
            indexer=self.indexer,
            lessons=self.lessons,
        )

    def _make_doors(self, ground: Ground) -> None:
        """Make the services, what looks after them, and the doors that ask them."""
        settings, clock, metrics = self.settings, self.clock, self.metrics
        ready = Readiness({"listeners": lambda: self._bound, "store": lambda: self.store.healthy})
        scratch = Scratch(self.store.path)
        scratch.clear()
        exporters = Exporters(self.store.database, self.store.derived("ids"), settings.http.exporters)
        self._open.append(exporters.close)
        self.services = Counter([metrics, ready, scratch, exporters, *make_services(ground), *self._own])
        reports = self.services.of(Reports)
        self._open += [lambda: briefly(reports.settle(), self._grace(1 / 2)), self.services.of(Access).settle]
        self.rounds = Rounds(self.store, self.services.of(Dkim), self.services.of(Health), settings, clock)
        self.listeners = Listeners(
            settings,
            self.directory,
            self.intake,
            self.services.of(SignIn),
            settings.hostname,
            clock,
            metrics,
            lambda: self.store.trouble,
        )
        self.site = make_app(
            self.services,
            settings.http,
            seed=self.store.derived("ids"),
            metrics=metrics,
            pages=pages(self.services, settings.http),
            more=self._operations,
        )

    def route_of(self, delivery: Delivery) -> Route:
        """Return the way of a delivery as things stand now; raise Problem(UNPROCESSABLE) while there is none."""
        return self.ways.of(delivery)

    # The doors.

    async def _open_doors(self) -> None:
        check_certificate(self.settings.http)
        await self.listeners.start()
        self._open.append(lambda: self.listeners.stop(self._grace(1 / 2)))
        for text in self.settings.http.listen:
            await self._open_http(text)
        self._open.append(await self._open_control(self.store.path / CONTROL))
        self._open.append(self.services.of(Presence).close)  # before the doors: each waits for its streams
        self._open.append(self.listeners.turn_away)  # first of all, not when the API has done with who hangs there

    async def _open_control(self, path: Path) -> Callable[[], Awaitable[None]]:
        try:
            return await open_control(self.site, path)
        except OSError as error:
            raise StoreProblem.of(path, error) from error

    async def _open_http(self, text: str) -> None:
        try:
            told = partial(tell_end, metrics=self.metrics, clock=self.clock)
            door = HttpDoor(self.site, listen(text), told=told, **http_options(self.settings.http, self.site.spoken))
        except BadEndpoint as error:
            raise SettingsError(f"http.listen: {error}") from error
        await door.start()
        self.http.append(door)
        self._open.append(lambda: self._close_http(door))

    async def _close_http(self, door: HttpDoor) -> None:
        self.http.remove(door)
        await door.stop(self._grace(1 / 4))

    def _grace(self, share: float) -> float:
        """Seconds that one room may take to stop: a share of those that are left for all."""
        return max(0.0, self._stop_by - asyncio.get_running_loop().time()) * share
