"""DKIM keys: made, read in every usual form, refused where they could not sign, found among TXT records."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from gatepost.mailauth import keys
from gatepost.model.dkim import Algorithm

# RFC 8463 A.2, A.3: the secret and the public key of the examples.
ED_SECRET = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
ED_PUBLIC = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

SHORT = (  # an RSA key of 768 bits, which no library makes any more
    "MIIB5AIBADANBgkqhkiG9w0BAQEFAASCAc4wggHKAgEAAmEArvqiMebVOXAO8cQnJhBq25aS5UFXYio6dBMbCLlykKIpz49gWm7u"
    "mYfxEn2fG4PIVn2Dd642wbHRSjWJDdg/TiZsG2U7zfIC0mxSudOLsId8LrhpCL2V0t9UDtEn4nLzAgMBAAECYCVLJeac3DUxvP2q"
    "YO2r8hp7LTPPiWBSv8Kdj9V8MP7CkUa7uD2OByyR3L+kJpUmsOIGNzxfTseJ5bYQ3RJwATIMcjyhYkVRksldn5E0QmS0xWdQj2aT"
    "CsIlw9eAoFysAQIxANO82g64qoUe31fKCTyqZw7qg1d+7yU6FxVMC0wNLmDRf/WABieiropawiSiP2xu0wIxANOOpBWPAIcxDYMp"
    "K02RL+N+GnMxGKHnRweaGpWV6ecvfsmt2mQjrSBViqJB0xqXYQIwZdJ/mmy7s+Cwzurdnkrj3IxyNPVZ07EnwJodJKmCEBUvT8QN"
    "MapN/UK/8hYEIgT5AjEAhhB/pPXRVNreAD9HpMkb+uM/6b20KW2B0qxyqlatOocbprzYh9sf7DypNPfXyqMhAjAOygNw6zrmXiqj"
    "ftIFUNP7trVen434KnJvMdkzNl+VbHrmAEgNh+trsCHSntZV1mE="
)


def pem(key: object, form: str = "PKCS8", secret: bytes = b"") -> str:
    sealed = serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption()
    kind = getattr(serialization.PrivateFormat, form)
    return key.private_bytes(serialization.Encoding.PEM, kind, sealed).decode()  # type: ignore[attr-defined]


def bare(text: str) -> str:
    return "".join(line for line in text.splitlines() if not line.startswith("-"))


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=1024)


def test_a_made_rsa_key_has_2048_bits_and_a_record_like_that_of_the_contract() -> None:
    made = keys.generate(Algorithm.RSA)
    key = keys.load(made.private)
    assert isinstance(key, rsa.RSAPrivateKey) and key.key_size == 2048
    assert made.public.startswith("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA") and made.public.endswith("IDAQAB")


def test_an_ed25519_record_holds_the_bare_key_rfc_8463() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(ED_SECRET))
    assert keys.read(pem(key)).public == ED_PUBLIC
    assert keys.read(pem(key)).algorithm is Algorithm.ED25519


def test_every_usual_form_of_a_private_key_is_read(rsa_key: rsa.RSAPrivateKey) -> None:
    forms = [pem(rsa_key), pem(rsa_key, "TraditionalOpenSSL")]
    forms += [bare(form) for form in forms] + [f"\r\n {forms[0]} \n"]
    assert len({keys.read(form) for form in forms}) == 1


def test_a_public_key_is_read_as_pem_and_as_the_record_holds_it(rsa_key: rsa.RSAPrivateKey) -> None:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    text = rsa_key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    assert keys.public(text) == keys.public(bare(text)) == keys.read(pem(rsa_key)).public


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no private key"),
        ("no key at all", "neither PEM nor base64"),
        ("AAAA", "no private key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "no private key"),
        ("schlüssel", "neither PEM nor base64"),
        (pem(ed25519.Ed25519PrivateKey.generate(), secret=b"x"), "encrypted"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "only RSA and Ed25519"),
        (pem(dsa.generate_private_key(1024)), "only RSA and Ed25519"),
    ],
)
def test_what_cannot_sign_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(keys.BadKey, match=why):
        keys.read(text)


def test_a_short_rsa_key_is_refused_threat_68() -> None:
    with pytest.raises(keys.BadKey, match="this one has 768"):
        keys.read(SHORT)


@pytest.mark.parametrize(
    ("record", "found"),
    [
        (b"v=DKIM1; p=AAAA", ["AAAA"]),
        (b"v=DKIM1;k=rsa;t=s; p= AA AA ;", ["AAAA"]),
        (b"p=AAAA", ["AAAA"]),
        (b"v=DKIM1; p=", [""]),  # revoked
        (b"v=DKIM1; p=***", ["?"]),
        (b"v=DKIM2; p=AAAA", []),
        (b"v=spf1 -all", []),
        (b"\xff", []),
        (b"", []),
    ],
)
def test_a_record_is_read_as_verifiers_read_it(record: bytes, found: list[str]) -> None:
    assert keys.published([record]) == found
