"""What a domain publishes beside MX and DKIM, asked of a real name server: faults, advice, the record to publish."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from tests.peers.names import Fault, Names, Zone
from tests.peers.sink import authority, server_tls
from tests.peers.web import Web, answer

from gatepost.dns import DnsFailure, Resolver
from gatepost.events import wall_clock
from gatepost.mailauth.records import tlsa_records
from gatepost.model.health import Code, Entry
from gatepost.model.tenant import Domain, Language
from gatepost.services.further import Facts, Further
from gatepost.settings import Settings

pytestmark = pytest.mark.anyio

NAME = "got.example"
GATE = "8.8.4.25"  # public, so that it counts
HOST = "mx1.gate.example"
HERE: Zone = {HOST: [f"A {GATE}"], "25.4.8.8.in-addr.arpa": [f"PTR {HOST}."]}


@pytest.fixture
async def names(anyio_backend: str) -> AsyncIterator[Names]:
    async with Names() as names:
        yield names


async def look(
    names: Names,
    kind: str,
    zone: dict[str, list[Any]],
    *,
    sends: bool = True,
    addresses: tuple[str, ...] = (GATE,),
    **sections: Any,
) -> Entry:
    """Return what one test finds in a zone."""
    names.zone.clear()
    names.zone |= {**HERE, **zone}
    sections["smtp"] = {"hostname": HOST, **sections.get("smtp", {})}
    settings = msgspec.convert({"dns": {"servers": [names.address], "timeout": 5.0}, **sections}, Settings)
    further = Further(Resolver(settings.dns, wall_clock), [HOST], settings)
    domain = Domain(customer_id=1, name=NAME, default_language=Language.EN, creation_date=0)
    return await further.tests[kind](Facts(domain, sends, list(addresses)))


def start(kind: str) -> str:
    return f"Lookup for {kind} entry in DNS for {NAME}"


# SPF.


@pytest.mark.parametrize(
    ("record", "lookups"),
    [(f"v=spf1 ip4:{GATE} -all", 0), ("v=spf1 mx -all", 1), (f"V=SPF1 a:{HOST} ~all", 1)],
)
async def test_an_spf_record_that_lets_us_send_passes(names: Names, record: str, lookups: int) -> None:
    found = await look(names, "SPF", {NAME: [f'TXT "{record}"', f"MX 10 {HOST}.", 'TXT "other"']})
    assert (found.result, found.output) == (Code.OK, ["Passed", f"{lookups} of 10 look-ups"])


async def test_a_missing_spf_record_is_an_error_for_who_sends_and_advice_for_who_does_not(names: Names) -> None:
    publish = f"Publish: {NAME} TXT v=spf1 ip4:{GATE} ~all"
    sends = await look(names, "SPF", {})
    assert (sends.result, sends.output) == (Code.ERROR, [start("SPF"), "Fail: No SPF entry found", publish])
    silent = await look(names, "SPF", {}, sends=False)
    assert (silent.result, silent.output) == (Code.OK, [start("SPF"), "Note: No SPF entry found", publish])


async def test_an_spf_record_without_us_is_shown_with_us_in_it(names: Names) -> None:
    zone = {NAME: ['TXT "v=spf1 include:_spf.other.example -all"'], "_spf.other.example": ['TXT "v=spf1 -all"']}
    found = await look(names, "SPF", zone, addresses=(GATE, "2001:4860::25"))
    assert found.result is Code.ERROR
    assert found.output[1:] == [
        f"Fail: this gateway may not send: {GATE} (fail), 2001:4860::25 (fail)",
        f"Publish: {NAME} TXT v=spf1 ip4:{GATE} ip6:2001:4860::25 include:_spf.other.example -all",
    ]


async def test_an_spf_record_beyond_ten_look_ups_is_an_error_with_their_number(names: Names) -> None:
    zone: dict[str, list[Any]] = {f"s{number}.example": ['TXT "v=spf1 ?all"'] for number in range(12)}
    includes = " ".join(f"include:{name}" for name in zone)
    record = f"v=spf1 ip4:{GATE} {includes} -all"  # ours comes first: others would still find it broken
    found = await look(names, "SPF", {**zone, NAME: [f'TXT "{record[:200]}" "{record[200:]}"']})
    assert (found.result, found.output[1]) == (Code.ERROR, "Fail: permerror, 12 look-ups of at most 10")


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        (['TXT "v=spf1 -all"', 'TXT "v=spf1 mx -all"'], "several SPF entries"),
        (['TXT "v=spf1 ipfour:1.2.3.4 -all"'], "permerror"),
        (['TXT "v=spf1 include:nowhere.example -all"'], "permerror"),
    ],
)
async def test_a_broken_spf_record_is_an_error_whoever_sends(names: Names, texts: list[str], fault: str) -> None:
    found = await look(names, "SPF", {NAME: texts}, sends=False)
    assert found.result is Code.ERROR and fault in found.output[1]


async def test_a_smarthost_and_a_gateway_without_addresses_are_told_of(names: Names) -> None:
    zone: dict[str, list[Any]] = {NAME: ['TXT "v=spf1 -all"']}
    behind = await look(names, "SPF", zone, relay={"smarthost": "out.example"})
    assert (behind.result, behind.output[-1][:36]) == (Code.OK, "Note: mail leaves by out.example, wh")
    bare = await look(names, "SPF", zone, addresses=())
    assert bare.result is Code.OK and "no public address" in bare.output[-1]


# DMARC.


async def test_dmarc_of_the_domain_and_of_its_organisation(names: Names) -> None:
    own = await look(names, "DMARC", {f"_dmarc.{NAME}": ['TXT "v=DMARC1; p=Reject; rua=mailto:x@y.example"']})
    assert (own.result, own.output) == (Code.OK, ["Passed", "p=reject"])
    none = await look(names, "DMARC", {})
    publish = f"Publish: _dmarc.{NAME} TXT v=DMARC1; p=none; rua=mailto:postmaster@{NAME}"
    assert (none.result, none.output) == (Code.OK, [start("DMARC"), "Note: No DMARC entry found", publish])


@pytest.mark.parametrize(
    "texts", [['TXT "v=DMARC1"'], ['TXT "v=DMARC1; p=block"'], ['TXT "v=DMARC1; p=none"', 'TXT "v=DMARC1; p=reject"']]
)
async def test_a_broken_dmarc_record_is_an_error(names: Names, texts: list[str]) -> None:
    found = await look(names, "DMARC", {f"_dmarc.{NAME}": texts})
    assert found.result is Code.ERROR and found.output[-1].startswith("Publish: _dmarc.")


# PTR.


async def test_our_addresses_need_names_that_lead_back(names: Names) -> None:
    good = await look(names, "PTR", {})
    assert (good.result, good.output) == (Code.OK, ["Passed", f"{GATE}: {HOST}"])
    wrong: dict[str, list[Any]] = {"25.4.8.8.in-addr.arpa": ["PTR nowhere.example."]}
    bad = await look(names, "PTR", wrong)
    assert (bad.result, bad.output[-1]) == (Code.ERROR, f"Publish: 25.4.8.8.in-addr.arpa PTR {HOST}")
    assert (await look(names, "PTR", wrong, sends=False)).result is Code.OK


# MTA-STS.


async def test_an_mta_sts_policy_must_be_served_and_name_every_mx(names: Names, tmp_path: Path) -> None:
    ca = authority()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    policy = "version: STSv1\nmode: testing\nmx: {host}\nmax_age: 1\n"
    zone = {
        NAME: [f"MX 10 {HOST}."],
        f"_mta-sts.{NAME}": ['TXT "v=STSv1; id=1"'],
        f"mta-sts.{NAME}": ["A 127.0.0.1"],
    }
    async with Web(server_tls(ca, f"mta-sts.{NAME}"), answer(policy.format(host=HOST))) as web:
        given = {
            "mta_sts": {"port": web.port, "ca_file": str(tmp_path / "ca.pem")},
            "relay": {"allow_private_destinations": True},
        }
        good = await look(names, "MTA-STS", zone, **given)
        assert (good.result, good.output) == (Code.OK, ["Passed", "mode: testing"])
        web.said = answer(policy.format(host="mx.old.example"))
        stale = await look(names, "MTA-STS", zone, **given)
        assert (stale.result, stale.output[1]) == (Code.ERROR, f"Fail: the policy does not name the MX {HOST}")
        assert stale.output[2].endswith(f"version: STSv1 | mode: testing | mx: {HOST} | max_age: 604800")
    gone = await look(names, "MTA-STS", zone, **given)
    assert gone.result is Code.ERROR and "no policy from" in gone.output[1]


async def test_a_missing_mta_sts_record_is_advice_and_a_broken_one_an_error(names: Names) -> None:
    none = await look(names, "MTA-STS", {})
    assert (none.result, none.output[2]) == (Code.OK, f"Publish: _mta-sts.{NAME} TXT v=STSv1; id=1")
    broken = await look(names, "MTA-STS", {f"_mta-sts.{NAME}": ['TXT "v=STSv1; id=a-b"']})
    assert broken.result is Code.ERROR


# TLS-RPT.


async def test_tls_reports_go_somewhere(names: Names) -> None:
    at = f"_smtp._tls.{NAME}"
    assert (await look(names, "TLS-RPT", {at: ['TXT "v=TLSRPTv1;rua=mailto:a@b.example"']})).output == ["Passed"]
    none = await look(names, "TLS-RPT", {})
    assert (none.result, none.output[-1]) == (
        Code.OK,
        f"Publish: {at} TXT v=TLSRPTv1; rua=mailto:postmaster@{NAME}",
    )
    for broken in ("v=TLSRPTv1", "v=TLSRPTv1; rua=a@b.example"):
        assert (await look(names, "TLS-RPT", {at: [f'TXT "{broken}"']})).result is Code.ERROR


# DANE.


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    chain = trustme.CA().create_child_ca().issue_cert(HOST).cert_chain_pems
    file = tmp_path / "chain.pem"
    file.write_bytes(b"".join(pem.bytes() for pem in chain))
    return file


async def test_tlsa_entries_must_fit_the_certificate_that_we_show(names: Names, certificate: Path) -> None:
    at, shown = f"_25._tcp.{HOST}", {"certificate": str(certificate)}
    wanted = " ".join(map(str, tlsa_records(certificate)[0]))
    assert wanted.startswith("3 1 1 ")
    fits = await look(names, "DANE", {at: [f"TLSA {wanted}", "TLSA 3 1 1 " + "00" * 32]}, smtp=shown)
    assert (fits.result, fits.output) == (Code.OK, ["Passed"])
    stale = await look(names, "DANE", {at: ["TLSA 3 1 1 " + "00" * 32]}, smtp=shown)
    assert (stale.result, stale.output[-1]) == (Code.ERROR, f"Publish: {at} TLSA {wanted}")
    none = await look(names, "DANE", {}, smtp=shown)
    assert (none.result, none.output[-1]) == (Code.OK, f"Publish: {at} TLSA {wanted}")
    plain = await look(names, "DANE", {at: ["TLSA 3 1 1 " + "00" * 32]})
    assert plain.result is Code.ERROR


async def test_an_authority_of_the_chain_may_be_named_too(names: Names, certificate: Path) -> None:
    above = next(record for record in tlsa_records(certificate) if record[0] == 2)
    found = await look(
        names,
        "DANE",
        {f"_25._tcp.{HOST}": [f"TLSA {' '.join(map(str, above))}"]},
        smtp={"certificate": str(certificate)},
    )
    assert found.result is Code.OK


@pytest.mark.parametrize("kind", ["SPF", "DMARC", "MTA-STS", "TLS-RPT"])
async def test_a_name_server_that_fails_is_not_taken_for_a_missing_record(names: Names, kind: str) -> None:
    at = {"SPF": NAME, "DMARC": f"_dmarc.{NAME}", "MTA-STS": f"_mta-sts.{NAME}", "TLS-RPT": f"_smtp._tls.{NAME}"}
    with pytest.raises(DnsFailure):
        await look(names, kind, {at[kind]: [Fault.SERVFAIL]})
