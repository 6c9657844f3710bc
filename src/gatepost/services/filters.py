"""Attachment and URI rules of a domain: checked when they are laid down, tried in the order of their priority."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from gatepost.events import Clock
from gatepost.message.patterns import compile_rule
from gatepost.model.access import Caller
from gatepost.model.address import BadAddress, domain_name
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Op, Page, Query, Where, eq, every
from gatepost.model.rules import AttachmentRule, UriRule
from gatepost.model.tenant import Domain
from gatepost.services.access import found
from gatepost.store.store import Reader, Store, Writer

R = TypeVar("R", AttachmentRule, UriRule)


class Placed(msgspec.Struct, Generic[R], frozen=True):
    """A rule with the name of the domain that it holds in."""

    rule: R
    scope: str


class OrderedRules(Generic[R]):
    """A domain's rules of one kind; two are identical when the fields that `SAME` names are equal."""

    KIND: type[R]
    SAME: ClassVar[tuple[str, ...]]

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    @staticmethod
    def canon(text: str) -> str:
        """Return what a rule looks for in its one form; raise MALFORMED for what can't be looked for."""
        raise NotImplementedError

    async def find(self, caller: Caller, domain_id: int, query: Query) -> Page[Placed[R]]:
        """Return a page of the domain's rules that `query` asks for."""
        domain = self._domain(caller, domain_id, "RULES_READ")
        mine = msgspec.structs.replace(query, where=every(eq("domain_id", domain.id), query.where))
        page = await self._store.read(lambda reader: reader.find(self.KIND, mine))
        return Page([Placed(rule, domain.name) for rule in page.items], page.total)

    async def add(self, caller: Caller, domain_id: int, asked: Mapping[str, object]) -> Placed[R]:
        """Add a rule behind those that the domain has; raise CONFLICT where an identical one is there."""
        domain = self._domain(caller, domain_id, "RULES_WRITE")
        fields = self._checked(asked)

        def put(writer: Writer) -> R:
            self._check_absent(writer, domain.id, fields)
            rule = self.KIND(
                domain_id=domain.id, priority=self._next(writer, domain.id), created_date=self._clock(), **fields
            )
            return writer.add(rule)

        return Placed(await self._store.write(put), domain.name)

    async def change(self, caller: Caller, rule_id: int, asked: Mapping[str, object]) -> None:
        """Change the members that are given of a rule; its place in the order stays."""
        self._check_reach(caller, rule_id)
        fields = self._checked(asked)

        def put(writer: Writer) -> None:
            rule = writer.get(self.KIND, rule_id)
            if rule is None:
                raise _missing()
            after = {name: fields.get(name, getattr(rule, name)) for name in self.SAME}
            self._check_absent(writer, rule.domain_id, after, but=rule_id)
            writer.change(self.KIND, rule_id, **fields)

        if fields:
            await self._store.write(put)

    async def remove(self, caller: Caller, rule_id: int) -> None:
        """Remove a rule."""
        self._check_reach(caller, rule_id)

        def drop(writer: Writer) -> None:
            if not writer.remove(self.KIND, eq("id", rule_id)):
                raise _missing()

        await self._store.write(drop)

    def _domain(self, caller: Caller, domain_id: int, permission: str) -> Domain:
        return found(caller, permission, self._store.reader.get(Domain, domain_id), "domain")

    def _check_reach(self, caller: Caller, rule_id: int) -> None:
        """Raise Problem unless the rule is there and in the caller's scope; a stranger learns nothing of either."""
        rule = self._store.reader.get(self.KIND, rule_id)
        found(caller, "RULES_WRITE", self._store.reader.get(Domain, rule.domain_id) if rule else None, "filter")

    def _checked(self, asked: Mapping[str, object]) -> dict[str, Any]:
        """The given members in the form in which they are kept; an empty description is none."""
        fields = {name: value for name, value in asked.items() if value is not None}
        if isinstance(text := fields.get("filter"), str):
            fields["filter"] = self.canon(text)
        if "description" in fields:
            fields["description"] = fields["description"] or None
        return fields

    def _check_absent(self, reader: Reader, domain_id: int, fields: Mapping[str, Any], but: int = 0) -> None:
        alike = every(eq("domain_id", domain_id), *(eq(name, fields[name]) for name in self.SAME))
        others = reader.find(self.KIND, Query(where=every(alike, Where("id", Op.NE, but)))).items
        # The store compares texts in any case, but \S is not \s.
        if any(rule.filter == fields["filter"] for rule in others):
            raise Problem(Kind.CONFLICT, "The domain has an identical rule.", pointer="/filter")

    def _next(self, reader: Reader, domain_id: int) -> int:
        last = reader.find(self.KIND, Query(where=eq("domain_id", domain_id), sort="-priority", limit=1)).items
        return last[0].priority + 1 if last else 1


class AttachmentRules(OrderedRules[AttachmentRule]):
    """Regular expressions over the names and media types of attachments."""

    KIND = AttachmentRule
    SAME = ("action", "check_type", "filter")

    @staticmethod
    def canon(text: str) -> str:
        try:
            compile_rule(text)
        except ValueError as error:
            detail = f"The filter is no regular expression, such as \\.(exe|scr)$ for names: {error}."
            raise Problem(Kind.MALFORMED, detail, pointer="/filter") from error
        return text


class UriRules(OrderedRules[UriRule]):
    """Host names in links, which stand for their subdomains too; or IP addresses in their usual form."""

    KIND = UriRule
    SAME = ("action", "filter")

    @staticmethod
    def canon(text: str) -> str:
        try:
            return str(ip_address(text.strip("[]")))
        except ValueError:
            pass
        try:
            return domain_name(text)
        except BadAddress as error:
            raise Problem(Kind.MALFORMED, f"The filter is not a host name: {error}.", pointer="/filter") from error


def _missing() -> Problem:
    return Problem(Kind.NOT_FOUND, "There is no such filter.")
