"""How slow this machine is, so that bounds on the processor's time tell of the code alone; how long to wait."""

import statistics
import time

PATIENCE = 240.0  # seconds until what must come is given up: only who fails waits so long
SECONDS = 0.008  # that the piece of work below takes where the bounds were written


def slowness() -> float:
    """Return how many times as long a piece of work takes here and now; 1 at least."""
    return max(1.0, statistics.median(_worked() for _ in range(5)) / SECONDS)


def _worked() -> float:
    began = time.thread_time()
    texts = [str(number) for number in range(40_000)]
    {text: len(text) for text in texts}  # memory counts as much as the processor
    return time.thread_time() - began
