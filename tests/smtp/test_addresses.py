"""Recipients that try to get mail relayed, and addresses that are none, told to the real directory (threats 31-36)."""

from pathlib import Path

import pytest
from tests.smtp.front import front

pytestmark = pytest.mark.anyio

# Threat 31: the forms that open relays have fallen for. `ours.example` is served, `world.example` is not.
RELAY_FORMS = """
<ada@world.example>
<ADA@WORLD.EXAMPLE>
<ada@world.example.>
<ada@sub.ours.example>
<ada@ours.example.world.example>
<ada@oursxexample>
<ada@xours.example>
<ada@example>
<ada@localhost>
<ada@gate.example>
<ada@[192.0.2.1]>
<ada@[127.0.0.1]>
<ada@[IPv6:2001:db8::1]>
<ada@[IPv6:::ffff:192.0.2.1]>
<ada@192.0.2.1>
<ada@2130706433>
<ada@0x7f.1>
<ada@[ours.example]>
<ada@[]>
<ada%world.example@ours.example>
<ada%world.example>
<ada%world.example@gate.example>
<ada%world.example@[127.0.0.1]>
<ada%world.example@localhost>
<ada@world.example%ours.example>
<ada@world.example@ours.example>
<ada@ours.example@world.example>
<world.example!ada>
<world.example!ada@ours.example>
<world.example!ada@gate.example>
<ours.example!world.example!ada>
<ada@world.example!ours.example>
<@ours.example:ada@world.example>
<@ours.example,@gate.example:ada@world.example>
<@gate.example:ada@world.example>
<@[127.0.0.1]:ada@world.example>
<@world.example:bob@ours.example>
<@:ada@world.example>
<"ada@world.example">
<"ada@world.example"@ours.example>
<"ada%world.example">
<"ada@world.example"@gate.example>
<"ada"@world.example>
<ada@"world.example">
<ada@"world.example"@ours.example>
<ada@world.example\\@ours.example>
<ada\\@world.example@ours.example>
<ada@ours.example(@world.example)>
<ada(ours.example)@world.example>
<ada @world.example>
<ada@world.example,bob@ours.example>
<ada@world.example;bob@ours.example>
<ada@world.example bob@ours.example>
<ada@world.example>,<bob@ours.example>
<ada@world.example><bob@ours.example>
<<ada@world.example>>
<ada@ours.example\x0b@world.example>
<ada>
<>
ada@world.example
bob@ours.example
Ada <ada@world.example>
""".strip("\n").splitlines()

# Threats 32, 33: what is no address.
NO_ADDRESSES = [
    "<" + "x" * 65 + "@ours.example>",
    "<bob@" + "x" * 64 + ".example>",
    "<bob@" + ".".join(["x" * 50] * 6) + ">",
    "<" + "x" * 64 + "@" + ".".join(["y" * 60] * 4) + ">",
    "<bob..smith@ours.example>",
    "<.bob@ours.example>",
    "<bob.@ours.example>",
    "<bob@-ours.example>",
    "<bob@ours-.example>",
    "<bob@.ours.example>",
    "<bob@ours..example>",
    "<bob smith@ours.example>",
    "<bob@ours example>",
    "<bob\t@ours.example>",
    "<bob\x07@ours.example>",
    "<bob\x7f@ours.example>",
    '<"bob@ours.example>',
    '<"bob"smith@ours.example>',
    '<bo"b@ours.example>',
    '<"bo\x01b"@ours.example>',
    "<bob@ours.example",
    "bob@ours.example>",
    "<bob@@ours.example>",
    "<@ours.example>",
    "<bob@>",
    "<bob(comment)@ours.example>",
    "<bob@ours.example>x",
    "< bob@ours.example>",
    "<bob@ours.example >",
    "<bob,carol@ours.example>",
    "<bob:carol@ours.example>",
    "",
    " ",
]


async def test_none_of_the_relay_forms_is_relayed(tmp_path: Path) -> None:
    """Threats 31, 35, 36."""
    assert len(RELAY_FORMS) >= 45
    async with front(tmp_path, limits={"errors": 1000, "unknown_recipients": 1000}) as opened:
        talk = await opened.hello()
        assert (await talk.ask("MAIL FROM:<eve@elsewhere.example>")).startswith("250 ")
        for form in RELAY_FORMS:
            said = await talk.ask(f"RCPT TO:{form}")
            assert said.startswith(("550 5.7.1 ", "550 5.1.1 ", "501 5.1.3 ")), f"{form}: {said}"
        assert (await talk.ask("DATA")).startswith("503 ")


async def test_what_is_no_address_is_told_so_and_the_session_goes_on(tmp_path: Path) -> None:
    """Threats 32, 33, F3."""
    async with front(tmp_path, limits={"errors": 1000}) as opened:
        talk = await opened.hello()
        for form in NO_ADDRESSES:
            assert (await talk.ask(f"MAIL FROM:{form}")).startswith("501 5.1.7 "), form
        assert (await talk.ask("MAIL FROM:<>")).startswith("250 ")
        for form in NO_ADDRESSES:
            assert (await talk.ask(f"RCPT TO:{form}")).startswith("501 5.1.3 "), form
        assert (await talk.ask("RCPT TO:<bob@ours.example>")).startswith("250 ")


async def test_odd_but_true_addresses_are_taken(tmp_path: Path) -> None:
    async with front(tmp_path) as opened:
        talk = await opened.hello()
        assert (await talk.ask("mail from: <ada@world.example>")).startswith("250 ")
        for form in ("<o'neil@ours.example>", "<bob+tag@ours.example>", '<"bob"@ours.example>', " <bob@ours.example> "):
            assert (await talk.ask(f"rcpt to:{form}")).startswith("250 "), form


async def test_the_longest_address_is_taken(tmp_path: Path) -> None:
    """Threat 32, from the other side."""
    local = "x" * 64
    async with front(tmp_path) as opened:
        opened.known.add(f"{local}@ours.example")
        talk = await opened.hello()
        domain = ".".join(["y" * 63] * 2 + ["z" * 60])
        assert (await talk.ask(f"MAIL FROM:<{local}@{domain}>")).startswith("250 ")
        assert (await talk.ask(f"RCPT TO:<{local}@ours.example>")).startswith("250 ")
