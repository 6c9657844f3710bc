"""Counts refusals of each address within a sliding time, to slow down who guesses."""

import ipaddress
from collections import OrderedDict, deque

from gatepost.events import Clock, Metrics, log
from gatepost.model.problem import Kind, Problem

_ADDRESSES = 50_000


class Throttle:
    """At most `limit` refusals of one address (IPv6: one /64) in `window` milliseconds; memory is bounded.

    A clock that is set back ends the wait.
    """

    def __init__(self, limit: int, window: int, clock: Clock) -> None:
        self._limit = limit
        self._window = window
        self._clock = clock
        self._refusals: OrderedDict[str, deque[int]] = OrderedDict()

    def wait(self, ip: str) -> int:
        """Return how many seconds the address must wait; 0 when it may try."""
        times = self._refusals.get(network(ip))
        now = self._clock()
        if times is None or len(times) < self._limit or not 0 <= now - times[0] < self._window:
            return 0
        return max(1, -(-(times[0] + self._window - now) // 1000))

    def refuse(self, ip: str) -> None:
        """Count a refusal."""
        times = self._refusals.setdefault(network(ip), deque(maxlen=self._limit))
        times.append(self._clock())
        self._refusals.move_to_end(network(ip))
        if len(self._refusals) > _ADDRESSES:
            self._refusals.popitem(last=False)


class Guesses:
    """The refused sign-ins of one door, which is closed to an address after many; no account is ever locked."""

    def __init__(self, door: str, throttle: Throttle, metrics: Metrics) -> None:
        self._door = door
        self._throttle = throttle
        self._count = metrics.auth_failures.labels(door)

    def check(self, ip: str) -> None:
        """Raise TOO_MANY for an address that must wait."""
        if wait := self._throttle.wait(ip):
            raise Problem(Kind.TOO_MANY, "Too many refused sign-ins; try later.", retry_after=wait)

    def refuse(self, ip: str, login: str = "") -> None:
        """Count a refusal and tell it in the log, with the account where one was meant.

        What names no account is left out: it may be a password in the wrong field.
        """
        self._throttle.refuse(ip)
        self._count.inc()
        log.info("sign-in refused", door=self._door, ip=ip, **({"login": login} if login else {}))


def network(ip: str) -> str:
    """Return what an address is counted as: itself, or the /64 of IPv6; what is no address as it is."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
