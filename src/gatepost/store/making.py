"""How items are made of rows: a function for each kind, compiled once."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Words(dict[str, Any]):
    """The members of an enumeration by their values; asked for another value, the enumeration answers."""

    def __init__(self, kind: Any) -> None:
        super().__init__((word.value, word) for word in kind)
        self._kind = kind

    def __missing__(self, value: str) -> Any:
        return self._kind(value)


def maker(kind: Callable[..., T], loads: Mapping[str, Callable[[Any], Any] | None]) -> Callable[..., T]:
    """Return a function of a row's values, in the order of `loads`: for each member what its value goes through.

    None leaves a value as it is, and NULL goes through nothing. The function is compiled, as named tuples are: to
    gather the members of each row in a dict takes eight times as long.
    """
    given = ", ".join(f"v{at}" for at in range(len(loads)))
    members = ", ".join(f"{name}={_loaded(at, load)}" for at, (name, load) in enumerate(loads.items()))
    known = {"kind": kind, **{f"load{at}": load for at, load in enumerate(loads.values())}}
    made: Callable[..., T] = eval(f"lambda {given}: kind({members})", known)  # noqa: S307 - of our own names alone
    return made


def _loaded(at: int, load: object) -> str:
    return f"None if v{at} is None else load{at}(v{at})" if load else f"v{at}"
