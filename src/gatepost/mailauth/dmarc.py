"""Says by DMARC whether the author's domain stands behind a mail (RFC 9989): tree walk, alignment, policy."""

from collections.abc import Mapping, Sequence

import msgspec

from gatepost.dns import DnsFailure, Missing, NoName, Resolver, side_by_side
from gatepost.lookout import within
from gatepost.mailauth import records
from gatepost.mailauth.lasting import Asked, Lasting
from gatepost.message.hosts import registered
from gatepost.model.auth import Dmarc, Policy, Result

LABELS = 8  # of a name, from which on the walk leaps (RFC 9989 4.10)
SECONDS = 10.0  # for one mail
AUTHORS = 10  # domains of From that are looked at
MILDER = {Policy.REJECT: Policy.QUARANTINE, Policy.QUARANTINE: Policy.NONE, Policy.NONE: Policy.NONE}

Tags = Mapping[str, str]


class Proof(msgspec.Struct, frozen=True):
    """A domain that SPF ("spf") or a signature ("dkim") speaks for; `sure` False: no answer came in time."""

    by: str
    domain: str
    sure: bool = True


class Finding(msgspec.Struct, frozen=True):
    """What DMARC says, and apart from any record: whether every author is proven, or might be (rules 4)."""

    dmarc: Dmarc
    proven: bool
    unsure: bool


class _Walk(msgspec.Struct, frozen=True):
    """The records found from a name upward, nearest first, and the organisation's domain that they make."""

    found: tuple[tuple[str, Tags], ...]
    organisation: str

    def record(self, name: str) -> Tags | None:
        return dict(self.found).get(name)


class _Case(msgspec.Struct, frozen=True):
    """One author's domain: what DMARC says of it."""

    dmarc: Dmarc
    proven: bool
    unsure: bool


class Checks:
    """Judges many mails; those with the same authors and proofs alike."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._known: Lasting[tuple[tuple[str | None, ...], tuple[Proof, ...]], Finding] = Lasting(resolver)

    async def check(
        self, authors: Sequence[str | None], proofs: Sequence[Proof], *, seconds: float = SECONDS
    ) -> Finding:
        """Judge the domains of all authors, as `Judge.judge`, in a time."""
        key = (tuple(authors), tuple(proofs))
        known = self._known.get(key)
        if known is None:
            asked = Asked(self._resolver)
            known = await Judge(asked, seconds).judge(authors, proofs)
            if len(authors) <= AUTHORS:  # a stranger's From may hold thousands
                self._known.keep(key, known, asked.until)
        return known


class Judge:
    """One mail's DMARC: each name is walked once; an author of whom nothing is known in `seconds` is not sure."""

    def __init__(self, resolver: Resolver | Asked, seconds: float = SECONDS) -> None:
        self._resolver = resolver
        self._seconds = seconds
        self._walks: dict[str, _Walk | DnsFailure] = {}

    async def judge(self, authors: Sequence[str | None], proofs: Sequence[Proof]) -> Finding:
        """Judge the domains of all authors; None stands for one that can't be read.

        Of several the worst counts: an author must not hide behind another (RFC 9989 5.3.1).
        """
        names = list(dict.fromkeys(name for name in authors if name))
        cases = await side_by_side([self._in_time(name, proofs) for name in names[:AUTHORS]])
        whole = None not in authors and len(names) <= AUTHORS
        if not whole:
            reason = "From can't be read" if None in authors else "too many authors"
            cases.append(_Case(Dmarc(result=Result.PERMERROR, reason=reason), False, False))
        if not cases:
            return Finding(Dmarc(result=Result.NONE, reason="no author"), False, False)
        worst = max(cases, key=_gravity)
        proven = all(case.proven for case in cases)
        return Finding(worst.dmarc, proven, not proven and all(case.proven or case.unsure for case in cases))

    async def _in_time(self, name: str, proofs: Sequence[Proof]) -> _Case:
        """Judge an author; one whose servers are slow must not keep the others from being judged."""
        try:
            return await within(self._seconds, self._author(name, proofs))
        except TimeoutError:
            reason = f"no result within {self._seconds:g} s"
            return _Case(Dmarc(result=Result.TEMPERROR, domain=name, reason=reason), False, True)

    async def _author(self, name: str, proofs: Sequence[Proof]) -> _Case:
        try:
            walk = await self._walk(name)
            applied = await self._policy(name, walk)
        except DnsFailure as error:
            same = any(proof.sure and proof.domain == name for proof in proofs)  # aligned whatever the record says
            return _Case(Dmarc(result=Result.TEMPERROR, domain=name, reason=str(error)), same, not same)
        by, hoped = await self._passing(name, walk, proofs)
        if applied is None:
            dmarc = Dmarc(result=Result.NONE, domain=name, organisation=walk.organisation, by=by)
            return _Case(dmarc, bool(by), hoped)
        record, policy = applied
        result = Result.PASS if by else Result.TEMPERROR if hoped else Result.FAIL
        dmarc = Dmarc(
            result=result,
            domain=name,
            record=record,
            organisation=walk.organisation,
            policy=policy,
            by=by,
            reason="" if by else "a proof could not be looked up" if hoped else "neither SPF nor DKIM is aligned",
        )
        return _Case(dmarc, bool(by), hoped)

    # Alignment (RFC 9989 4.10.2).

    async def _passing(self, name: str, walk: _Walk, proofs: Sequence[Proof]) -> tuple[tuple[str, ...], bool]:
        """Return by what the author is proven, and whether another answer of DNS might prove him."""
        by: set[str] = set()
        hoped = False
        for proof in proofs:
            try:
                if not await self._aligned(name, walk, proof):
                    continue
            except DnsFailure:
                hoped = True
                continue
            hoped = hoped or not proof.sure
            by.update([proof.by] if proof.sure else ())
        return tuple(sorted(by)), hoped

    async def _aligned(self, name: str, walk: _Walk, proof: Proof) -> bool:
        if proof.domain == name:
            return True
        if walk.found:
            if _strict(name, walk, proof.by):
                return False
            # Asked only where it may be of one organisation: else a stranger's silent server made the rest unsure.
            near = f".{proof.domain}".endswith(f".{walk.organisation}")
            return near and (await self._walk(proof.domain)).organisation == walk.organisation
        return registered(proof.domain) == registered(name)

    # Which policy applies (4.10.1).

    async def _policy(self, name: str, walk: _Walk) -> tuple[str, Policy] | None:
        record = _applied(name, walk)
        if record is None:
            return None
        where, tags = record
        asked = _asked(tags)
        if asked is None:
            return None
        names = ["p"] if where == name else ["sp", "p"]
        if where != name and "np" in asked and await self._absent(name):
            names = ["np"]
        policy = next((asked[each] for each in names if each in asked), Policy.NONE)
        return where, MILDER[policy] if tags.get("t", "").lower() == "y" else policy

    async def _absent(self, name: str) -> bool:
        """Tell whether the author's domain does not exist at all (RFC 9989 3.2.11, RFC 8020)."""
        try:
            await self._resolver.txt(name)
        except NoName:
            return True
        except Missing:
            return False
        return False

    # The tree walk (4.10).

    async def _walk(self, name: str) -> _Walk:
        known = self._walks.get(name)
        if known is None:
            try:
                known = await self._climb(name)
            except DnsFailure as error:
                known = error
            self._walks[name] = known
        if isinstance(known, DnsFailure):
            raise known
        return known

    async def _climb(self, name: str) -> _Walk:
        found: list[tuple[str, Tags]] = []
        for at in _targets(name):
            tags = await self._record(at)
            if tags is None:
                continue
            found.append((at, tags))
            psd = tags.get("psd", "").lower()
            if psd == "n" or (psd == "y" and at != name):
                break
        return _Walk(tuple(found), _organisation(name, found))

    async def _record(self, name: str) -> Tags | None:
        """Return the tags of a name's record; several count as none."""
        try:
            texts = await self._resolver.txt(f"_dmarc.{name}")
        except Missing:
            return None
        found = [text for text in texts if records.is_dmarc(text)]
        return records.tags(found[0]) if len(found) == 1 else None


def _targets(name: str) -> list[str]:
    """Return the names that are asked, eight at most: the name itself, then shorter and shorter ones."""
    labels = name.split(".")
    first = 1 if len(labels) < LABELS else len(labels) - LABELS + 1
    return [name, *(".".join(labels[at:]) for at in range(first, len(labels)))]


def _organisation(name: str, found: Sequence[tuple[str, Tags]]) -> str:
    for at, tags in found:
        psd = tags.get("psd", "").lower()
        if psd == "n":
            return at
        if psd == "y" and at != name:
            below = name.removesuffix(f".{at}").rpartition(".")[2]
            return f"{below}.{at}"
    return found[-1][0] if found else name


def _applied(name: str, walk: _Walk) -> tuple[str, Tags] | None:
    """Return the record of the author's domain, else of its organisation, else of the public suffix above."""
    above = [at for at, tags in walk.found if tags.get("psd", "").lower() == "y"]
    for at in (name, walk.organisation, *above):
        tags = walk.record(at)
        if tags is not None:
            return at, tags
    return None


def _strict(name: str, walk: _Walk, by: str) -> bool:
    applied = _applied(name, walk)
    return applied is not None and applied[1].get("aspf" if by == "spf" else "adkim", "r").lower() == "s"


def _asked(tags: Tags) -> dict[str, Policy] | None:
    """Return what p, sp and np ask; None where the record can't be applied (RFC 9989 4.7, 5.3.4)."""
    asked: dict[str, Policy] = {}
    for name in ("p", "sp", "np"):
        value = tags.get(name, "").lower()
        if value in list(Policy):
            asked[name] = Policy(value)
        elif name == "p" or value:
            return {"p": Policy.NONE} if "mailto:" in tags.get("rua", "") else None
    return asked


def _gravity(case: _Case) -> tuple[bool, int, int]:
    """Order cases: first by what a domain asks for that is not proven."""
    order = [Result.PASS, Result.NONE, Result.TEMPERROR, Result.PERMERROR, Result.FAIL]
    asks = case.dmarc.policy is not Policy.NONE and case.dmarc.result is not Result.PASS
    return asks, order.index(case.dmarc.result), list(Policy).index(case.dmarc.policy)
