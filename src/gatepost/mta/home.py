"""Where mail for an address of ours is at home: its domain, its account, the platform that has the mailbox."""

import msgspec

from gatepost.model.address import Address
from gatepost.model.audit import CHANGE, Audit
from gatepost.model.envelope import Recipient
from gatepost.model.problem import Kind, Problem
from gatepost.model.query import Any, Op, Query, Where, eq, every
from gatepost.model.route import Platform
from gatepost.model.stored import Relocation
from gatepost.model.tenant import Domain, User
from gatepost.store.store import Reader


class Home(msgspec.Struct, frozen=True):
    """A mailbox of a served domain: `address` under the domain's own name; `platform_id` None: there is none yet."""

    address: Address
    domain: Domain
    user: User | None
    platform_id: int | None


def home(reader: Reader, address: Address) -> Home | None:
    """Return where mail for an address is at home; None where its domain is not served."""
    domain = reader.domain(address.domain)
    if domain is None:
        return None
    own = Address(address.local, domain.name)
    user = reader.first(User, eq("email", own.key))
    default = reader.first(Platform, every(eq("domain_id", domain.id), eq("default", True)))
    platform_id = (user.platform_id if user else None) or (default.id if default else None)
    return Home(own, domain, user, platform_id)


def relocation(reader: Reader, address: str) -> Relocation | None:
    """Return what tells of mail on its way from an address (its key), or to it; None where there is none.

    Until it is there, the address is nobody's but who it goes along with: a next holder would be shown another's mail.
    """
    return reader.first(Relocation, Any((eq("old", address), eq("new", address))))


def bore(reader: Reader, user: User, at: int) -> bool:
    """Tell whether an account had its address at a moment already (epoch milliseconds): it may have been another's.

    What was kept at the former one went along; the audit tells of the change.
    """
    changed = every(eq("object_id", str(user.id)), eq("kind", "user"), eq("act", CHANGE), Where("at", Op.GT, at))
    changes = reader.find(Audit, Query(where=changed)).items
    return at >= user.creation_date and not any("email" in (each.before or {}) for each in changes)


def reach(reader: Reader, address: Address) -> Recipient:
    """Return where a notice of ours to an address goes, whatever its policy says of mail from others.

    Raises Problem(UNPROCESSABLE) where the address is ours and its domain has no mail server.
    """
    place = home(reader, address)
    if place is None:
        return Recipient(address=address, given=address)
    if place.platform_id is None:
        raise Problem(Kind.UNPROCESSABLE, f"{place.domain.name} has no mail server to send to.")
    return Recipient(
        address=place.address,
        given=address,
        domain_id=place.domain.id,
        domain=place.domain.name,
        user_id=place.user.id if place.user else None,
        platform_id=place.platform_id,
    )
