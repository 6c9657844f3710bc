"""How long a delivery waits for servers that hang, and whom it tries first the next time."""

from collections.abc import Callable, Sequence

from gatepost.mta.routing import Target

HANGING = 3  # servers whose whole time a delivery waits for; behind them it tries no other until it is due again
TERM = 4 * 3600.0  # seconds for which others go before them
REMEMBERED = 1000  # servers


class Patience:
    """Remembers who used up a delivery's time, so that the next one comes to those behind them."""

    def __init__(self, each: float, clock: Callable[[], float]) -> None:
        """`each`: seconds that one server may take; `clock` tells seconds."""
        self._most = HANGING * each
        self._clock = clock
        self._hung: dict[Target, float] = {}  # and when, the latest last

    def until(self) -> float:
        """Return the time at which a delivery that begins now tries no further server."""
        return self._clock() + self._most

    def ends(self, until: float) -> bool:
        """Tell whether that time, in seconds, has come."""
        return self._clock() >= until

    def in_turn(self, targets: Sequence[Target]) -> Sequence[Target]:
        """Return servers in the order given, but those that hung behind the others, the longest ago first."""
        if not self._hung or len(targets) == 1:
            return targets
        since = self._clock() - TERM
        return sorted(targets, key=lambda target: max(self._hung.get(target, since), since))

    def note(self, hung: Sequence[Target]) -> None:
        """Note servers that took all the time there was."""
        for target in hung:
            self._hung.pop(target, None)
            self._hung[target] = self._clock()
        for target in list(self._hung)[:-REMEMBERED]:
            del self._hung[target]
