"""Replays the contract's examples: the request as written, the answer compared with ids and dates mapped.

An id means something only within its kind, and each installation shows its own; so each kind keeps pairs of (the
example's id, ours). Pairs that a test gives are used in the request; others are bound when the answer first shows them,
one to one. A date of the answer is any point in time, unless the request gave it.
"""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
from tests.api.house import BASE, Api

from gatepost.api.dialect import NATIVE

EXAMPLES = Path(__file__).parent.parent / "contract" / "examples" / "cleanmail"
VARY = [value for _, value in NATIVE.headers]
KINDS = {  # the word before an id, in a path or as the member that holds the object
    "domains": "domain",
    "aliases": "alias",
    "domainAliases": "alias",
    "policies": "policy",
    "platforms": "platform",
    "users": "user",
    "groups": "group",
    "addresses": "recipient",
    "recipients": "recipient",
    "admins": "admin",
    "tokens": "token",
    "wblist": "rule",
    "attachments": "attachment",
    "uris": "uri",
    "outgoingProviders": "provider",
    "domainPolicyId": "policy",
    "domainPlatformId": "platform",
}
DATES = {"creationDate", "deletionDate", "purgeDate", "createdAt", "createdDate", "expiration", "expireAt", "lastUse"}
ID = re.compile(r"[0-9A-Za-z]{5,}\Z")


def load(operation: str) -> dict[str, Any]:
    """Return the example of an operation."""
    (path,) = EXAMPLES.glob(f"*-{operation}.json")
    example: dict[str, Any] = json.loads(path.read_text())
    return example


class Replay:
    """The examples against one API. `ids` gives pairs by kind: {"domain": {"Eygdk": our id}}."""

    def __init__(self, api: Api, ids: dict[str, dict[str, str]] | None = None) -> None:
        self.api = api
        self.ids = {kind: dict(pairs) for kind, pairs in (ids or {}).items()}

    async def run(
        self, operation: str, *, kind: str = "", but: dict[str, Any] | None = None, **more: Any
    ) -> httpx2.Response:
        """Send the example's request and compare the whole answer.

        `kind` is what the answer's own `id` belongs to (else the last collection of the path); `but` gives members, by
        their pointer, whose value differs for a reason that the contract names.
        """
        example = load(operation)
        request, expected = example["request"], example["response"]
        answer = await self.api.ask(request["method"], self.path(request["path"]), self.body(request["body"]), **more)
        assert answer.status_code == expected["status"], answer.text
        self._check_headers(expected["headers"], answer)
        if expected["body"] is None:
            assert answer.content == b""
        else:
            own = kind or _last_kind(request["path"])
            _Match(self, request["body"], but or {}).same(expected["body"], answer.json(), "", own)
        return answer

    def path(self, path: str) -> str:
        """Return an example's path with our ids."""
        place, question, query = path.partition("?")
        parts = place.split("/")
        for index in range(1, len(parts)):
            pairs = self.ids.get(KINDS.get(parts[index - 1], ""), {})
            parts[index] = pairs.get(parts[index], parts[index])
        return "/".join(parts) + question + query

    def body(self, value: Any) -> Any:
        """Return an example's body with our ids."""
        if isinstance(value, list):
            return [self.body(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: self.ids.get(id_kind(name, ""), {}).get(each, each) if isinstance(each, str) else self.body(each)
            for name, each in value.items()
        }

    def bind(self, kind: str, theirs: str, ours: str) -> None:
        """Hold that an id of the example and ours name one object."""
        pairs = self.ids.setdefault(kind, {})
        assert ID.match(ours), f"{ours!r} is no id"
        known = {value: key for key, value in pairs.items()}.get(ours, theirs)
        assert pairs.setdefault(theirs, ours) == ours, f"{kind} {theirs} is {pairs[theirs]}, not {ours}"
        assert known == theirs, f"{kind} {ours} is {known}, not {theirs}"

    def _check_headers(self, expected: dict[str, str], answer: httpx2.Response) -> None:
        assert answer.headers.get_list("vary") == VARY
        for name, value in expected.items():
            given = answer.headers[name]
            if name == "Location":
                self._check_location(value, given)
            elif name == "Access-Control-Expose-Headers":
                assert value in given.split(", ")
            else:
                assert given == value

    def _check_location(self, expected: str, given: str) -> None:
        assert given.startswith(BASE)
        theirs, ours = expected.removeprefix(BASE).split("/"), given.removeprefix(BASE).split("/")
        assert len(theirs) == len(ours)
        for index, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            if index and theirs[index - 1] in KINDS:
                self.bind(KINDS[theirs[index - 1]], one, other)
            else:
                assert one == other


class _Match:
    def __init__(self, replay: Replay, request: Any, but: dict[str, Any]) -> None:
        self._replay = replay
        self._request = request if isinstance(request, dict) else {}
        self._but = but

    def same(self, expected: Any, given: Any, at: str, kind: str) -> None:
        """Hold that two values mean the same; `kind` is what an `id` right here belongs to."""
        if at in self._but:
            assert given == self._but[at], at
        elif isinstance(expected, dict):
            assert isinstance(given, dict) and given.keys() == expected.keys(), f"{at}: {set(given) ^ set(expected)}"
            for name, value in expected.items():
                self._member(name, value, given[name], f"{at}/{name}", kind)
        elif isinstance(expected, list):
            assert isinstance(given, list) and len(given) == len(expected), f"{at}: {len(given)} items"
            for index, value in enumerate(expected):
                self.same(value, given[index], f"{at}/{index}", kind)
        else:
            assert type(given) is type(expected) and given == expected, f"{at}: {given!r} is not {expected!r}"

    def _member(self, name: str, expected: Any, given: Any, at: str, kind: str) -> None:
        if isinstance(expected, str) and (own := id_kind(name, kind)) and at not in self._but:
            self._replay.bind(own, expected, given)
        elif name in DATES and isinstance(expected, int):
            assert given == self._request[name] if name in self._request else 10**12 < given < 10**13, at
        elif name == "value" and kind == "token":
            assert re.fullmatch("[0-9a-f]{32}", given), at
        else:
            self.same(expected, given, at, KINDS.get(name, name))


def id_kind(name: str, kind: str) -> str:
    """Return of which kind the ids of a member are; "" for a member that is no id."""
    if name == "id":
        return kind
    return KINDS.get(name) or name.removesuffix("Id") if name.endswith("Id") and name != "externalId" else ""


def _last_kind(path: str) -> str:
    words = [part for part in path.partition("?")[0].split("/") if part in KINDS]
    return KINDS[words[-1]] if words else ""
