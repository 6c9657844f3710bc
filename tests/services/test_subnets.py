"""Outgoing subnets: read strictly, wide or foreign ones only by a sysadmin (rules 10)."""

from pathlib import Path

import pytest
from tests.ready import lay_store

from gatepost.events import Metrics
from gatepost.model.access import Caller
from gatepost.model.problem import Kind, Problem
from gatepost.model.tenant import Domain, Language
from gatepost.services.subnets import check_subnets, read_subnets
from gatepost.settings import StoreSettings
from gatepost.store.store import Store

ROOT, ADMIN = Caller(sys_admin=True), Caller(admin_id=2)


@pytest.mark.parametrize(
    "text", ["", "x", "1.2.3", "1.2.3.4/33", "1.2.3.4/24", "1.2.3.0/24 ", "::/129", "1.2.3.0/-1", "fe80::%2"]
)
def test_what_is_no_subnet_is_refused(text: str) -> None:
    with pytest.raises(Problem) as raised:
        read_subnets(["192.0.2.0/24", text])
    assert (raised.value.kind, raised.value.pointer) == (Kind.MALFORMED, "/outgoingSubnets/1")


def test_a_domain_has_at_most_a_thousand_subnets() -> None:
    with pytest.raises(Problem) as raised:
        read_subnets([f"10.{index // 256}.{index % 256}.0/24" for index in range(1001)])
    assert raised.value.kind is Kind.UNPROCESSABLE


def test_subnets_are_kept_once_and_single_addresses_are_subnets() -> None:
    given = ["192.0.2.1", "192.0.2.1/32", "2001:DB8::/48", "::ffff:192.0.2.1"]
    assert [str(each) for each in read_subnets(given)] == ["192.0.2.1/32", "2001:db8::/48"]


@pytest.mark.parametrize(
    ("subnet", "allowed"),
    [
        ("203.0.113.0/24", True),
        ("203.0.112.0/23", False),
        ("0.0.0.0/0", False),
        ("2001:db8:1::/48", True),
        ("2001:db8::/47", False),
        ("::ffff:203.0.113.0/120", True),
        ("::ffff:203.0.112.0/119", False),
        ("192.0.2.128/25", False),  # another customer's
        ("198.51.100.0/28", True),  # his own
    ],
)
def test_wide_and_foreign_subnets_need_a_sysadmin(tmp_path: Path, subnet: str, allowed: bool) -> None:
    directory = tmp_path / "state"
    lay_store(directory)
    settings = StoreSettings(directory=str(directory))
    store = Store.open(directory, clock=lambda: 1, metrics=Metrics(), settings=settings)
    for customer, nets in ((1, ["192.0.2.0/24"]), (2, ["198.51.100.0/24"])):
        row = Domain(
            customer_id=customer,
            name=f"c{customer}.example",
            default_language=Language.EN,
            creation_date=1,
            outgoing_subnets=nets,
        )
        store.write_sync(lambda writer, row=row: writer.add(row))
    networks = read_subnets([subnet])
    check_subnets(store.reader, ROOT, 2, networks)
    if allowed:
        check_subnets(store.reader, ADMIN, 2, networks)
    else:
        with pytest.raises(Problem) as raised:
            check_subnets(store.reader, ADMIN, 2, networks)
        assert (raised.value.kind, raised.value.pointer) == (Kind.UNPROCESSABLE, "/outgoingSubnets")
    store.close_sync()
