"""The records that a mail domain publishes beside SPF and DKIM: read as verifiers read them, and as they should be."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_STS_ID = re.compile(r"[A-Za-z0-9]{1,32}\Z")


def tags(record: bytes) -> dict[str, str]:
    """Return the tags of a `name=value; ...` record, names in lower case; what is no tag is left out."""
    pairs = (part.partition("=") for part in record.decode("ascii", "replace").split(";"))
    return {name.strip().lower(): value.strip() for name, equals, value in pairs if equals}


def of_version(records: Sequence[bytes], version: str) -> list[bytes]:
    """Return the records that begin with `v=version` (RFC 7489 6.6.3, RFC 8461 3.1, RFC 8460 3)."""
    start = re.compile(rf"v\s*=\s*{version}\s*(;|\Z)", re.IGNORECASE)
    return [record for record in records if start.match(record.decode("ascii", "replace").strip())]


def is_dmarc(record: bytes) -> bool:
    """Tell whether a TXT record is a DMARC record: v=DMARC1 first, in just this case (RFC 9989 4.7)."""
    return re.match(rb"v[ \t]*=[ \t]*DMARC1[ \t]*(;|\Z)", record) is not None


def dmarc_fault(record: bytes) -> str:
    """Return what is wrong with a DMARC record, "" for nothing (RFC 7489 6.3)."""
    found = tags(record)
    for name in ("p", "sp"):
        value = found.get(name, "none" if name == "sp" or "rua" in found else "")
        if value.lower() not in ("none", "quarantine", "reject"):
            return f"{name}={value} is none of none, quarantine, reject" if value else "it has no policy (p=)"
    return ""


def sts_fault(record: bytes) -> str:
    """Return what is wrong with an MTA-STS record, "" for nothing (RFC 8461 3.1)."""
    return "" if _STS_ID.match(tags(record).get("id", "")) else "id= must be 1 to 32 letters and digits"


def tls_report_fault(record: bytes) -> str:
    """Return what is wrong with a TLS-RPT record, "" for nothing (RFC 8460 3)."""
    targets = [each.strip() for each in tags(record).get("rua", "").split(",")]
    good = all(each.startswith(("mailto:", "https:")) for each in targets)
    return "" if good else "rua= must name mailto: or https: addresses"


def tlsa_records(certificate: Path) -> list[tuple[int, int, int, str]]:
    """Return the TLSA records that the chain of a PEM file fits: (usage, selector, matching, data) (RFC 6698 2.1).

    The first of them is the one to publish (RFC 7672 3.1: DANE-EE, the key, SHA-256). Raises OSError, ValueError.
    """
    leaf, *above = x509.load_pem_x509_certificates(certificate.read_bytes())
    return [*_fitting(3, leaf), *(record for each in above for record in _fitting(2, each))]


def _fitting(usage: int, certificate: x509.Certificate) -> Iterator[tuple[int, int, int, str]]:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for selector, octets in ((1, key), (0, certificate.public_bytes(Encoding.DER))):
        yield usage, selector, 1, hashlib.sha256(octets).hexdigest()
        yield usage, selector, 2, hashlib.sha512(octets).hexdigest()
        yield usage, selector, 0, octets.hex()
