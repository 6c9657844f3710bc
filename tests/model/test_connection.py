"""How a server is spoken to by a connection: TLS, sign-in, and the additional properties that have an effect."""

from typing import Any

import pytest

from gatepost.model.connection import BadProperty, Connection, connection_route, read_properties
from gatepost.model.route import Terms, Transport

PLAIN, MAY, MUST = Transport.SMTP, Transport.SMTPS_MAY, Transport.SMTPS_ENCRYPT
LOGIN = {"auth": True, "username": "me"}


def connection(**members: Any) -> Connection:
    return Connection(id=7, name="relay", host="smtp.far.example", port=587, **members)


def one(name: str, value: Any) -> list[Any]:
    return [{"name": name, "value": value}]


@pytest.mark.parametrize(
    ("members", "transport", "implicit"),
    [
        ({}, PLAIN, False),
        ({"start_tls": True}, MAY, False),
        ({"start_tls": True, **LOGIN}, MUST, False),  # no password goes out where TLS fails
        (LOGIN, PLAIN, False),
        ({"ssl": True}, MUST, True),
        ({"ssl": True, "start_tls": True}, MUST, True),
        ({"properties": one("mail.smtp.ssl.enable", "true")}, MUST, True),
        ({"ssl": True, "properties": one("mail.smtp.ssl.enable", False)}, PLAIN, False),
        ({"properties": one("mail.smtps.starttls.enable", True)}, MAY, False),
        ({"properties": one("MAIL.SMTP.STARTTLS.REQUIRED", "True")}, MUST, False),
    ],
)
def test_tls_is_what_flags_sign_in_and_properties_make_of_it(
    members: dict[str, Any], transport: Transport, implicit: bool
) -> None:
    (hop,) = connection_route(connection(**members), "secret").hops
    assert hop.terms is not None
    assert (hop.host, hop.port, hop.transport, hop.terms.implicit_tls) == ("smtp.far.example", 587, transport, implicit)


def test_who_has_a_name_and_a_password_signs_in_and_neither_is_shown() -> None:
    for members, password, username in (({**LOGIN}, "secret", "me"), ({**LOGIN}, None, ""), ({}, "secret", "")):
        (hop,) = connection_route(connection(**members), password).hops
        assert hop.terms is not None
        assert (hop.terms.username, hop.terms.password) == (username, "secret" if username else "")
        assert "secret" not in repr(hop)


def test_properties_give_limits_trust_and_a_name() -> None:
    given = {
        "connectiontimeout": 1500,
        "timeout": "2000",
        "writetimeout": " 3000 ",
        "ssl.trust": "* Smtp.far.example",
        "ssl.checkserveridentity": "false",
        "localhost": "app.far.example",
        "unknown": object,
    }
    items = [{"name": f"mail.smtp.{name}", "value": value} for name, value in given.items()]
    (hop,) = connection_route(connection(properties=["odd", {}, {"name": None}, *items]), None).hops
    assert not hop.private
    assert hop.terms == Terms(
        name="connection 7",
        trust=("*", "smtp.far.example"),
        check_name=False,
        local_name="app.far.example",
        connect_timeout=1.5,
        read_timeout=2.0,
        write_timeout=3.0,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", 0),
        ("timeout", 600_001),
        ("timeout", "1.5"),
        ("timeout", True),
        ("connectiontimeout", None),
        ("ssl.enable", "yes"),
        ("ssl.trust", ""),
        ("ssl.trust", "a;b"),
        ("localhost", "a\r\nQUIT"),
    ],
)
def test_a_value_that_can_t_have_its_effect_is_told_with_its_place(name: str, value: Any) -> None:
    with pytest.raises(BadProperty) as told:
        read_properties(["odd", *one(f"mail.smtp.{name}", value)])
    assert told.value.at == 1
