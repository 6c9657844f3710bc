"""DANE for SMTP (RFC 7672): which TLSA records can be used, and whether a server's certificates fit one. Pure."""

import datetime
import hashlib
from collections.abc import Iterable, Iterator, Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gatepost.dns import Tlsa

TRUST_ANCHOR, END_ENTITY = 2, 3  # the usages that SMTP knows (RFC 7672 3.1)
_SIZES = {1: 64, 2: 128}  # hex digits of SHA2-256 and SHA2-512
_DIGESTS = {1: hashlib.sha256, 2: hashlib.sha512}


class Unproven(Exception):
    """The certificates fit no record; the text says how."""


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """Return the records that a client of SMTP can go by, in one order; () where none can (RFC 7672 3.1.3)."""
    return tuple(sorted(record for record in records if _is_usable(record)))


def _is_usable(record: Tlsa) -> bool:
    known = record.usage in (TRUST_ANCHOR, END_ENTITY) and record.selector in (0, 1) and record.matching in (0, 1, 2)
    return known and len(record.data) == _SIZES.get(record.matching, len(record.data))


def prove(chain: Sequence[bytes], records: Sequence[Tlsa], names: Sequence[str], now: datetime.datetime) -> None:
    """Hold a chain (DER, the server's own first) to usable records; raise Unproven.

    A record of the server itself needs neither name nor dates (RFC 7672 3.1.1); below a trust anchor the certificate
    must bear one of `names`, and every one of the path be within its dates (3.1.2, 3.2.2).
    """
    try:
        certificates = [x509.load_der_x509_certificate(each) for each in chain]
        if not certificates:
            raise Unproven("the server shows no certificate")
        if any(_fits(certificates[0], record) for record in records if record.usage == END_ENTITY):
            return
        anchors = [record for record in records if record.usage == TRUST_ANCHOR]
        _climb(certificates, anchors, names, now)
    except ValueError as error:
        raise Unproven("a certificate can't be read") from error


def _climb(
    certificates: Sequence[x509.Certificate], anchors: Sequence[Tlsa], names: Sequence[str], now: datetime.datetime
) -> None:
    """Follow the issuers upwards to one that a record names."""
    path = [certificates[0]]
    for issuer in (*certificates[1:], *_whole(anchors)):
        if not _issued(path[-1], issuer):
            continue
        path.append(issuer)
        if any(_fits(issuer, record) for record in anchors):
            _check_path(path, names, now)
            return
    raise Unproven("the certificate fits no TLSA record")


def _whole(anchors: Iterable[Tlsa]) -> Iterator[x509.Certificate]:
    """The anchors that stand in DNS as whole certificates: servers needn't send those."""
    for record in anchors:
        if (record.selector, record.matching) == (0, 0):
            yield x509.load_der_x509_certificate(bytes.fromhex(record.data))


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False


def _check_path(path: Sequence[x509.Certificate], names: Sequence[str], now: datetime.datetime) -> None:
    for certificate in path:
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if not start <= now <= end:
            raise Unproven("a certificate of the path is not within its dates")
    if not any(_bears(path[0], name) for name in names):
        raise Unproven(f"the certificate is for none of {', '.join(names)}")


def _bears(certificate: x509.Certificate, name: str) -> bool:
    """Tell whether a certificate is for a name; `*.` stands for one label (RFC 6125 6.4.3)."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    above = f"*.{name.partition('.')[2]}"
    return any(each.lower() in (name, above) for each in alternative.get_values_for_type(x509.DNSName))


def _fits(certificate: x509.Certificate, record: Tlsa) -> bool:
    if record.selector == 0:
        shown = certificate.public_bytes(Encoding.DER)
    else:
        shown = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = _DIGESTS.get(record.matching)
    return (digest(shown).hexdigest() if digest else shown.hex()) == record.data
