"""Counts what came of the mail from each network and proven sender's domain, for the filter `reputation`."""

from collections.abc import Sequence

from gatepost.filters.reputation import Reputation, origin_key, origins
from gatepost.message.mail import Mail
from gatepost.model.memory import Memory, Room
from gatepost.model.verdict import Action, Category
from gatepost.mta.keeping import Judged

VIRUS = 3.0  # bad mails that one with a virus counts as
CLEAR = 0.5  # of the spam score: what is below counts as clean


class Standing:
    """Told each mail's verdicts; where the filter is off nothing is counted."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def saw(self, mail: Mail, judged: Sequence[Judged]) -> None:
        """Count a mail once, by the gravest that was found for any of its recipients."""
        tallies = self._memory.tallies.get(Room.REPUTATION)
        if tallies is None or Action.DEFER in [each.verdict.action for each in judged]:
            return
        weighed = [_weighed(each) for each in judged]
        bad = max(weighed, default=0.0)
        good = 1.0 if bad == 0.0 and weighed else 0.0
        if bad > 0 or good:
            for kind, name in origins(mail):
                tallies.count(origin_key(kind, name), mail.envelope.received, max(bad, 0.0), good)


def _weighed(judged: Judged) -> float:
    """Return what a mail counts as bad; 0 for clean, less for what is neither."""
    verdict, policy = judged.verdict, judged.recipient.policy
    stated = {finding.category for finding in verdict.because}
    if Category.VIRUS in stated:
        return VIRUS
    limit = policy.spam_score if policy else 5.0
    score = sum([finding.score for finding in verdict.because if finding.by != Reputation.name])
    if score >= limit or Category.SPAM in stated:
        return 1.0
    return 0.0 if verdict.category is Category.CLEAN and score < limit * CLEAR else -1.0
