"""Writes TLS reports: the JSON document, and the mail that brings it (RFC 8460 4, 5.3)."""

import gzip
from base64 import encodebytes
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from gatepost.message.fields import date
from gatepost.model.tls_reports import TlsReport, TlsResult

DAY = 86_400  # seconds
MEDIA_TYPE = "application/tlsrpt+gzip"


def document(organization: str, contact: str, report_id: str, day: int, results: Sequence[TlsResult]) -> str:
    """Return the report on what came of one domain's sessions on a day (RFC 8460 4.4)."""
    policies: dict[tuple[str, ...], list[TlsResult]] = defaultdict(list)
    for each in results:
        policies[(each.policy_type.value, *each.policy, "", *each.mx)].append(each)
    made = {
        "organization-name": organization,
        "date-range": {"start-datetime": _moment(day * DAY), "end-datetime": _moment((day + 1) * DAY - 1)},
        "contact-info": contact,
        "report-id": report_id,
        "policies": [_policy(group) for group in policies.values()],
    }
    return msgspec.json.encode(made).decode()


def _policy(results: Sequence[TlsResult]) -> dict[str, object]:
    first = results[0]
    failed = [each for each in results if each.result]
    about: dict[str, object] = {"policy-type": first.policy_type.value, "policy-domain": first.domain}
    if first.policy:
        about["policy-string"] = first.policy
    if first.mx:
        about["mx-host"] = first.mx
    told: dict[str, object] = {
        "policy": about,
        "summary": {
            "total-successful-session-count": sum(each.count for each in results if not each.result),
            "total-failure-session-count": sum(each.count for each in failed),
        },
    }
    if failed:
        told["failure-details"] = [_failure(each) for each in failed]
    return told


def _failure(result: TlsResult) -> dict[str, object]:
    known = {"receiving-mx-hostname": result.host, "receiving-ip": result.ip}
    shown = {name: value for name, value in known.items() if value}
    return {"result-type": result.result, **shown, "failed-session-count": result.count}


def packed(report: TlsReport) -> bytes:
    """Return the document as it is sent."""
    return gzip.compress(report.body.encode(), mtime=0)


def mail(report: TlsReport, *, sender: str, submitter: str, to: str, message_id: str, now: int) -> bytes:
    """Return the mail that brings a report to an address; `now` in epoch milliseconds.

    It is to arrive where TLS is broken, too (RFC 8460 3): `TLS-Required: No`.
    """
    start, end = report.day * DAY, (report.day + 1) * DAY - 1
    file = f"{submitter}!{report.domain}!{start}!{end}.json.gz"
    boundary = f"=_tlsrpt_{report.id}_{report.day}"
    head = [
        f"From: {sender}",
        f"To: {to}",
        f"Subject: Report Domain: {report.domain}\r\n Submitter: {submitter}\r\n Report-ID: <{report.report_id}>",
        f"Date: {date(now)}",
        f"Message-ID: <{message_id}>",
        f"TLS-Report-Domain: {report.domain}",
        f"TLS-Report-Submitter: {submitter}",
        "TLS-Required: No",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type="tlsrpt";\r\n boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        f"This is an aggregate TLS report from {submitter} for {report.domain}.",
        f"--{boundary}",
        f"Content-Type: {MEDIA_TYPE}",
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment;\r\n filename="{file}"',
        "",
        encodebytes(packed(report)).decode().strip().replace("\n", "\r\n"),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(head).encode()


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
