"""Makes the fields by which a delivered mail tells what was found: X-Spam-* as SpamAssassin's, and who looked at it.

What the names of symbols say comes from filters and engines, so nothing but words goes into a field, in bounded number.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from gatepost.model.verdict import Category, Finding, Verdict
from gatepost.mta.keeping import Judged
from gatepost.mta.nearest import USUAL
from gatepost.settings import Headers

TESTS = 100  # symbols that are named
STARS = 50  # as many as SpamAssassin writes
LINE = 76

_ODD = re.compile(r"[^A-Za-z0-9_.-]")


def marks(judged: Judged, settings: Headers, scanners: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the fields for one recipient, folded; none for who is not on a mail server of ours.

    `scanners` are the names of those that looked through the mail for viruses.
    """
    policy = judged.recipient.policy
    if judged.recipient.platform_id is None or policy is None:
        return ()
    made = _remembered if len(judged.verdict.because) <= USUAL else _fields
    return made(judged.verdict, policy.spam_score, settings, scanners)


def _fields(
    verdict: Verdict, spam_score: float, settings: Headers, scanners: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    stated = {finding.category for finding in verdict.because}
    spam = Category.SPAM in verdict.found
    fields = {
        "X-Spam-Flag": ("YES" if spam else "NO") if settings.spam_flag else "",
        "X-Spam-Score": f"{verdict.score:.1f}" if settings.spam_score else "",
        "X-Spam-Level": "*" * min(max(int(verdict.score), 0), STARS) if settings.spam_level else "",
        "X-Spam-Status": "",
        "X-Virus-Scanned": "",
        "X-Gatepost-Unsure": ", ".join(sorted({each.by for each in verdict.because if each.on_error})),
    }
    if settings.spam_status:
        points = f"score={verdict.score:.1f} required={spam_score:.1f}"
        fields["X-Spam-Status"] = f"{'Yes' if spam else 'No'}, {points}\r\n\ttests=[{_tests(verdict.because)}]"
    if settings.virus_scanned and Category.UNSURE not in stated:
        fields["X-Virus-Scanned"] = ", ".join(scanners)
    return tuple([(name, value) for name, value in fields.items() if value])


_remembered = lru_cache(maxsize=256)(_fields)  # most verdicts are the one before


def _tests(findings: tuple[Finding, ...]) -> str:
    """The symbols with their points, as many as fit a line, and lines as many as it takes."""
    said = list(dict.fromkeys([_test(finding.symbol, finding.score) for finding in findings[:TESTS]]))
    return ",\r\n\t".join(_lines(said))


@lru_cache(maxsize=1024)  # most symbols count the same points in each mail
def _test(symbol: str, points: float) -> str:
    return f"{_ODD.sub('_', symbol)[: LINE - 12]}={points:g}"


def _lines(words: list[str]) -> Iterator[str]:
    line = ""
    for word in words:
        if line and len(line) + len(word) + 1 > LINE:
            yield line
            line = word
        else:
            line = f"{line},{word}" if line else word
    yield line
