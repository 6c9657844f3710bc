"""DANE: which TLSA records can be used, and certificates held to them, each way of RFC 7672 with its twin."""

import datetime
import hashlib

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gatepost.dns import Tlsa
from gatepost.mailauth.dane import Unproven, prove, usable

NOW = datetime.datetime.now(datetime.UTC)
LATER = datetime.datetime(9000, 1, 1, tzinfo=datetime.UTC)
HOST = "mx.example.org"
CA = trustme.CA()
LEAF = CA.issue_cert(HOST)
WILD = CA.issue_cert("*.example.org")


def der(pem: trustme.Blob) -> bytes:
    return x509.load_pem_x509_certificate(pem.bytes()).public_bytes(Encoding.DER)


def chain(leaf: trustme.LeafCert) -> list[bytes]:
    return [*(der(each) for each in leaf.cert_chain_pems), der(CA.cert_pem)]


def record(certificate: bytes, usage: int, selector: int = 0, matching: int = 1) -> Tlsa:
    shown = certificate
    if selector:
        key = x509.load_der_x509_certificate(certificate).public_key()
        shown = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digests = {0: shown.hex(), 1: hashlib.sha256(shown).hexdigest(), 2: hashlib.sha512(shown).hexdigest()}
    return Tlsa(usage, selector, matching, digests[matching])


@pytest.mark.parametrize("selector", [0, 1])
@pytest.mark.parametrize("matching", [0, 1, 2])
def test_a_record_of_the_server_itself_is_enough_whatever_its_name_and_dates(selector: int, matching: int) -> None:
    own = record(chain(LEAF)[0], 3, selector, matching)
    prove(chain(LEAF)[:1], [own], ["else.example"], LATER)
    with pytest.raises(Unproven, match="fits no TLSA record"):
        prove(chain(WILD), [own], [HOST], NOW)


@pytest.mark.parametrize(("selector", "matching"), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)])
def test_a_trust_anchor_vouches_for_what_it_issued(selector: int, matching: int) -> None:
    anchor = record(der(CA.cert_pem), 2, selector, matching)
    prove(chain(LEAF), [anchor], [HOST], NOW)
    prove(chain(WILD), [anchor], [HOST], NOW)
    stranger = trustme.CA()
    forged = [der(stranger.issue_cert(HOST).cert_chain_pems[0]), der(CA.cert_pem)]
    with pytest.raises(Unproven, match="fits no"):
        prove(forged, [anchor], [HOST], NOW)  # the anchor is shown, but has issued nothing


def test_an_anchor_that_stands_whole_in_dns_need_not_be_sent() -> None:
    prove(chain(LEAF)[:1], [record(der(CA.cert_pem), 2, 0, 0)], [HOST], NOW)
    with pytest.raises(Unproven):
        prove(chain(LEAF)[:1], [record(der(CA.cert_pem), 2, 0, 1)], [HOST], NOW)


def test_below_an_anchor_names_and_dates_count() -> None:
    anchor = record(der(CA.cert_pem), 2)
    with pytest.raises(Unproven, match=r"for none of other\.example"):
        prove(chain(LEAF), [anchor], ["other.example"], NOW)
    with pytest.raises(Unproven, match=r"for none of a\.mx\.example\.org"):
        prove(chain(WILD), [anchor], ["a.mx.example.org"], NOW)
    with pytest.raises(Unproven, match="dates"):
        prove(chain(LEAF), [anchor], [HOST], LATER)


def test_what_can_not_be_read_proves_nothing() -> None:
    for shown in ([], [b"junk"], [chain(LEAF)[0][:-5]]):
        with pytest.raises(Unproven):
            prove(shown, [record(chain(LEAF)[0], 3)], [HOST], NOW)


def test_only_the_usages_of_smtp_with_whole_digests_are_usable() -> None:
    good = [Tlsa(3, 1, 1, "a" * 64), Tlsa(2, 0, 2, "b" * 128), Tlsa(3, 0, 0, "30")]
    bad = [Tlsa(0, 0, 1, "a" * 64), Tlsa(1, 0, 1, "a" * 64), Tlsa(3, 2, 1, "a" * 64), Tlsa(3, 0, 3, "aa")]
    bad += [Tlsa(3, 1, 1, "a" * 62), Tlsa(3, 1, 2, "a" * 64)]
    assert set(usable([*good, *bad])) == set(good)
    assert usable(bad) == ()
