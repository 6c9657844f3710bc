"""Rights as tables: what each reach covers, what roles and names stand for."""

from itertools import pairwise

import pytest

from gatepost.model.access import PERMISSIONS, Reach
from gatepost.model.rights import (
    END_USERS,
    MEANING,
    NOWHERE,
    ORDER,
    OWN,
    ROLES,
    SYSADMIN_ALONE,
    covers,
    expand,
    ordered,
)
from gatepost.model.tenant import Broker, Customer, Domain, Language, User

BROKER = Broker(id=1, name="b", created_at=0)
CUSTOMER = Customer(id=2, broker_id=1, name="c", created_at=0)
DOMAIN = Domain(id=3, customer_id=2, name="d.example", default_language=Language.EN, creation_date=0)
USER = User(id=4, domain_id=3, email="u@d.example", language=Language.EN, creation_date=0)
EVERYTHING = (None, BROKER, CUSTOMER, DOMAIN, USER)


def only(**ids: int) -> Reach:
    return Reach(**{name: frozenset({number}) for name, number in ids.items()})


@pytest.mark.parametrize(
    ("reach", "covered"),
    [
        (NOWHERE, ()),
        (Reach(everywhere=True), EVERYTHING),
        (only(brokers=1), (BROKER, CUSTOMER)),
        (only(brokers=1, customers=2, domains=3), (BROKER, CUSTOMER, DOMAIN, USER)),
        (only(customers=2), (CUSTOMER, DOMAIN)),
        (only(customers=2, domains=3), (CUSTOMER, DOMAIN, USER)),
        (only(domains=3), (DOMAIN, USER)),
        (only(users=4), (USER,)),
        (only(brokers=9, customers=9, domains=9, users=9), ()),
        (only(brokers=2, customers=3, domains=4, users=3), ()),  # a number means something at its level alone
    ],
)
def test_a_reach_covers_its_node_and_all_below_it_and_nothing_above(reach: Reach, covered: tuple[object, ...]) -> None:
    assert tuple(scope for scope in EVERYTHING if covers(reach, scope)) == covered


@pytest.mark.parametrize(
    ("names", "roles", "own", "held"),
    [
        ((), (), (), set()),
        (("USERS_READ", "NONSENSE"), (), (), {"USERS_READ"}),
        (("USERS_READ",), ("USER",), (), {*OWN}),
        ((), ("NIGHT", "GONE"), [("NIGHT", ["QUEUE_READ"])], {"QUEUE_READ"}),
        (("POLICIES_WRITE", "DKIM_WRITE", "GRANT"), (), (), {"GRANT"}),
        ((), ("SYSADMIN",), (), set(PERMISSIONS - SYSADMIN_ALONE)),
    ],
)
def test_names_and_roles_stand_for_permissions(
    names: tuple[str, ...], roles: tuple[str, ...], own: list[tuple[str, list[str]]], held: set[str]
) -> None:
    assert expand(names, roles, own) == held


def test_every_permission_has_its_place_and_its_meaning() -> None:
    assert len(ORDER) == len(PERMISSIONS) and set(ORDER) == PERMISSIONS == MEANING.keys()
    assert ordered(PERMISSIONS) == ORDER and ordered(["GRANT", "ADMINS_READ"]) == ["ADMINS_READ", "GRANT"]


def test_each_role_holds_what_the_one_below_it_holds() -> None:
    order = ["SYSADMIN", "BROKER_ADMIN", "CUSTOMER_ADMIN", "DOMAIN_ADMIN", "HELPDESK"]
    held = [ROLES[name].permissions for name in order]
    assert all(above >= below for above, below in pairwise(held))
    assert all(role.permissions <= PERMISSIONS for role in ROLES.values())


def test_the_help_desk_sees_no_content_and_can_come_by_none() -> None:
    assert not ROLES["HELPDESK"].permissions & {"MAIL_CONTENT", "USERS_WRITE", "IMPERSONATE", "GRANT", "VIRUS_RELEASE"}


def test_only_sysadmins_hold_what_is_theirs_alone() -> None:
    for role in ROLES.values():
        assert (role.permissions >= SYSADMIN_ALONE) is (role.name == "SYSADMIN")


def test_end_users_are_granted_nothing_that_reaches_beyond_a_mailbox() -> None:
    assert OWN <= END_USERS <= PERMISSIONS
    assert not END_USERS & {"USERS_WRITE", "DOMAINS_WRITE", "GRANT", "IMPERSONATE"}
