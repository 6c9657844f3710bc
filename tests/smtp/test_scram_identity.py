"""AUTH SCRAM-SHA-256 by clients that name whom they act for, as GNU SASL's do (RFC 5802 5.1: authzid)."""

import hashlib
import hmac
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from tests.smtp.front import PASSWORD
from tests.smtp.test_auth import BOB, attempt, code, covered, door

pytestmark = pytest.mark.anyio


def last_message(first: str, challenge: str, password: str) -> str:
    """What a client answers a challenge, by the letter of RFC 5802 3."""
    said = dict(field.split("=", 1) for field in challenge.split(","))
    flag, identity, bare = first.split(",", 2)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), b64decode(said["s"]), int(said["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without_proof = f"c={code(f'{flag},{identity},')},r={said['r']}"
    signed = f"{bare},{challenge},{without_proof}".encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    return f"{without_proof},p={b64encode(proof).decode()}"


@pytest.mark.parametrize(
    ("begin", "answer"),
    [
        ("n,,", "334 "),
        (f"n,a={BOB},", "334 "),  # as GNU SASL has it, and Mutt by it
        (f"y,a={BOB},", "334 "),
        ("n,a=carol@ours.example,", "535 5.7.8 "),
        ("n,a=bob=2C@ours.example,", "535 5.7.8 "),
        ("n,a=,", "501 5.5.2 "),
        (f"n,{BOB},", "501 5.5.2 "),
        (f"p=tls-exporter,a={BOB},", "501 5.5.2 "),
    ],
)
async def test_a_client_may_say_that_it_acts_for_itself(tmp_path: Path, begin: str, answer: str) -> None:
    async with door(tmp_path) as opened:
        await attempt(opened, "PLAIN")
        talk, first = await covered(opened), f"{begin}n={BOB},r=nonce"
        said = await talk.ask(f"AUTH SCRAM-SHA-256 {code(first)}")
        if said.startswith("334 "):
            said = await talk.ask(code(last_message(first, b64decode(said[4:]).decode(), PASSWORD)))
        assert said.startswith(answer)
        if said.startswith("334 "):
            assert (await talk.ask("")).startswith("235 ")


async def test_what_a_client_began_with_is_what_it_ends_with(tmp_path: Path) -> None:
    """A header that somebody changed on the way is found out (RFC 5802 6)."""
    async with door(tmp_path) as opened:
        await attempt(opened, "PLAIN")
        for sent, meant in (("n,,", f"n,a={BOB},"), (f"n,a={BOB},", "n,,"), (f"n,a={BOB},", f"y,a={BOB},")):
            talk, rest = await covered(opened), f"n={BOB},r=nonce"
            said = await talk.ask(f"AUTH SCRAM-SHA-256 {code(sent + rest)}")
            final = last_message(meant + rest, b64decode(said[4:]).decode(), PASSWORD)
            assert (await talk.ask(code(final))).startswith("501 5.5.2 ")
