"""The counter: every service of one Gatepost, found by its class."""

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


class Counter:
    """Holds one object of each service class, so that a door can ask for what it needs by type."""

    def __init__(self, services: Iterable[object] = ()) -> None:
        self._services: dict[type, object] = {}
        for service in services:
            self.add(service)

    def add(self, service: object) -> None:
        self._services[type(service)] = service

    def __contains__(self, kind: type) -> bool:
        return kind in self._services

    def of(self, kind: type[T]) -> T:
        """Return the service of that class; KeyError when the app did not make one."""
        service = self._services[kind]
        assert isinstance(service, kind)
        return service
