"""Many networks at once tell what each of them would."""

import random
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from gatepost.model.network import Subnets


def test_an_address_lies_in_many_networks_as_it_does_in_one_of_them() -> None:
    chance = random.Random(4632)
    for _ in range(300):
        texts = [f"10.{chance.randrange(4)}.{chance.randrange(4)}.0/{chance.randrange(12, 33)}" for _ in range(3)]
        texts += [
            f"2001:db8:{chance.randrange(4)}::{chance.randrange(4)}/{chance.randrange(30, 129)}" for _ in range(3)
        ]
        subnets = Subnets(texts)
        for ip in (
            str(IPv4Address(0x0A000000 + chance.randrange(4) * 65536 + chance.randrange(1024))),
            str(IPv6Address(0x20010DB8 << 96 | chance.randrange(4) << 80 | chance.randrange(4))),
        ):
            assert (ip in subnets) == any(ip_address(ip) in ip_network(text, strict=False) for text in texts)


def test_what_is_no_address_or_no_network_lies_nowhere() -> None:
    assert "192.0.2.1" in Subnets(["x", "", "192.0.2.0/40", "192.0.2.0/24"])
    assert "192.0.2.1" not in Subnets([])
    assert "mail.example" not in Subnets(["0.0.0.0/0", "::/0"])
    assert "::1" not in Subnets(["0.0.0.0/0"])
