"""Asks whether a mail reads like the spam, or like the clean mail, that it was taught."""

import math
from collections.abc import Hashable, Iterable, Sequence
from typing import ClassVar

import msgspec

from gatepost.filters import registry
from gatepost.filters.registry import Cost, Tools
from gatepost.message import tokens
from gatepost.message.mail import Mail
from gatepost.message.plain import plain
from gatepost.message.tokens import Gist
from gatepost.model.envelope import Recipient
from gatepost.model.memory import Tokens
from gatepost.model.verdict import Category, Finding

UNSEEN = 0.1  # of a mail: what a token counts that was never seen in a class
WEAKEST = 1.8  # log-odds from which on a token counts: it stands six times as often in one class
STRONGEST = 500  # tokens that count
FEW = 15  # tokens by which a mail of few is held nearer to 1/2
OWN_WEIGHT = 4  # a domain's own lessons count so many times those for all
TOLD = 8  # tokens that the trace tells
WEIGHTS = 100_000  # remembered at once


class Band(msgspec.Struct, frozen=True):
    """What a probability from `least` on, up to the band before, is called and worth; no symbol: nothing."""

    least: float
    symbol: str
    points: float


BANDS = (
    Band(0.999, "CLASSIFIER_SPAM_999", 6.0),
    Band(0.99, "CLASSIFIER_SPAM_99", 5.5),
    Band(0.95, "CLASSIFIER_SPAM_95", 5.0),
    Band(0.80, "CLASSIFIER_SPAM_80", 4.0),
    Band(0.60, "CLASSIFIER_SPAM_60", 3.0),
    Band(0.40, "", 0.0),
    Band(0.20, "CLASSIFIER_HAM_40", -0.1),
    Band(0.05, "CLASSIFIER_HAM_20", -0.5),
    Band(0.01, "CLASSIFIER_HAM_05", -1.5),
    Band(0.0, "CLASSIFIER_HAM_01", -3.0),
)


class ClassifierOptions(registry.Options, frozen=True):
    DOC: ClassVar[dict[str, str]] = {
        **registry.Options.DOC,
        "least": "spam mails, and clean ones, that must have been learnt before the classifier says anything",
        "weights": "points of single symbols, such as { CLASSIFIER_SPAM_999 = 4.0 }",
    }
    on_error: registry.OnFailure = "accept"
    least: int = 100
    weights: dict[str, float] = msgspec.field(default_factory=dict)


class Classifier:
    """Does it read like spam?

    By what was learnt for all domains and for the recipient's own; silent until enough was.
    """

    name = "classifier"
    cost = Cost.PARSE
    Options = ClassifierOptions

    def __init__(self, options: ClassifierOptions, tools: Tools) -> None:
        self._least = max(1, options.least)
        self._points = _points(options.weights)
        self._tokens = tools.memory.tokens
        self._weigher = Weigher(self._tokens)

    def key(self, recipient: Recipient) -> Hashable:
        return recipient.domain_id if self._weigher.taught(recipient.domain_id or 0) else None

    async def examine(self, mail: Mail, recipient: Recipient) -> Iterable[Finding]:
        own = recipient.domain_id or 0
        if not self._weigher.ready(own, self._least):
            return ()
        gist = tokens.gist(await mail.anatomy())
        keys = tokens.keys(gist)
        weighed = self._weigher.weigh(keys, own)
        if not weighed:
            return ()
        probability = combine([weight for _, weight in weighed])
        if not mail.on_trial:
            self._tokens.use([key for key, _ in weighed], mail.envelope.received)
        return self._finding(probability, weighed, gist)

    def _finding(self, probability: float, weighed: Sequence[tuple[int, float]], gist: Gist) -> Iterable[Finding]:
        band = next(band for band in BANDS if probability >= band.least)
        if not band.symbol:
            return ()
        strongest = [key for key, _ in weighed[:TOLD]]
        spelled = tokens.spell(gist, strongest)
        finding = Finding(
            category=Category.SCORE,
            symbol=band.symbol,
            reason=f"it reads like {'spam' if probability > 0.5 else 'clean mail'} (probability {probability:.3f})",
            by=self.name,
            score=self._points[band.symbol],
            seen=plain(", ".join(spelled[key] for key in strongest if key in spelled), 300),
        )
        return (finding,)


def _points(weights: dict[str, float]) -> dict[str, float]:
    points = {band.symbol: band.points for band in BANDS if band.symbol}
    for symbol in weights.keys() - points.keys():
        raise ValueError(f"weights.{symbol}: there is no such symbol")
    return points | weights


class Weigher:
    """Gives tokens their weights, by the lessons for all and a domain's own."""

    def __init__(self, known: Tokens) -> None:
        self._known = known
        self._generation = -1
        self._weights: dict[tuple[int, int, int], float | None] = {}

    def taught(self, own: int) -> bool:
        """Tell whether a domain has lessons of its own."""
        return any(self._known.totals(own)) if own else False

    def ready(self, own: int, least: int) -> bool:
        """Tell whether enough was learnt for a domain to judge by."""
        return any(min(self._known.totals(each)) >= least for each in {0, own})

    def weigh(self, keys: Sequence[int], own: int) -> list[tuple[int, float]]:
        """Return the tokens that count with their weights, the strongest first."""
        spam, ham = self._total(own)
        counts = self._known.get(keys)
        if self.taught(own):
            owned = self._known.get(tokens.keys_for(keys, own))
            counts = [_sum(one, other) if other else one for one, other in zip(counts, owned, strict=True)]
        weights, found = self._weights, []
        for key, packed in zip(keys, counts, strict=True):
            if packed:
                known = (packed, spam, ham)
                if known not in weights:
                    weights[known] = _weight(packed >> 16, packed & 0xFFFF, spam, ham)
                weight = weights[known]
                if weight is not None:
                    found.append((key, weight))
        found.sort(key=lambda pair: abs(pair[1]), reverse=True)
        return found[:STRONGEST]

    def _total(self, own: int) -> tuple[int, int]:
        if self._generation != self._known.generation or len(self._weights) > WEIGHTS:
            self._generation = self._known.generation
            self._weights.clear()
        spam, ham = self._known.totals(0)
        if own:
            more = self._known.totals(own)
            spam, ham = spam + OWN_WEIGHT * more[0], ham + OWN_WEIGHT * more[1]
        return max(spam, 1), max(ham, 1)


def _sum(packed: int, own: int) -> int:
    spam = min((packed >> 16) + OWN_WEIGHT * (own >> 16), 0xFFFF)
    ham = min((packed & 0xFFFF) + OWN_WEIGHT * (own & 0xFFFF), 0xFFFF)
    return spam << 16 | ham


def _weight(in_spam: int, in_ham: int, spam: int, ham: int) -> float | None:
    """Return the log-odds of a token; None for one that says next to nothing.

    Each class has the same say, however many mails of it were learnt; UNSEEN keeps the rarest tokens of the larger
    class from outweighing all others.
    """
    weight = math.log((in_spam + UNSEEN) / spam) - math.log((in_ham + UNSEEN) / ham)
    return weight if abs(weight) >= WEAKEST else None


def combine(weights: Sequence[float]) -> float:
    """Return the probability that a mail is spam: 0.5 where nothing tells.

    The sum of log-odds would be as sure of a long mail as if its words had been drawn one by one; their mean would not
    grow with evidence. Between the two, by the power 3/4, spam parts best from ham (docs/filters.md).
    """
    odds = sum(weights) / (len(weights) + FEW) ** 0.75
    return 1.0 / (1.0 + math.exp(-odds))


FILTER = Classifier
