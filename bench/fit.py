"""Fits the weights of the built-in score to one half of the corpus: logistic regression that leans on the judgement.

What fires seldom keeps the weight that it was given; no weight changes its sign, or leaves a range around that weight,
so that the quirks of old mail count little. Run: python bench/fit.py [--ham DIR ...] [--spam DIR ...] [--write]
"""

import argparse
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from accuracy import Letter, corpus, halves, options, rules

from gatepost.filters.symbols import shipped

TABLE = Path(__file__).parents[1] / "src/gatepost/filters/symbols.toml"
THRESHOLD = 5.0
SLOPE = 1.2  # of the logistic curve, for each point
CLEAN_COUNTS = 4.0  # how much worse it is to take clean mail for spam than the other way
LEANING = 2.0  # pull of the given weight
RANGE = (0.4, 1.9)  # of the given weight
SELDOM = 8  # mails below which a symbol keeps the weight that it was given
STEPS = 400
RATE = 0.004
FIXED = {"GTUBE", "AUTHOR_AT_HOME", "NEWS_AT_HOME", "LINKS_HOME", "LINKS_WIDE"}  # the corpus has too few newsletters
# What honest senders of today do far more often than those of the corpus: never worth more than was judged.
COMMON_TODAY = {
    *("SAYS_CLICK", "SAYS_DEAR", "SAYS_FREE", "SAYS_HURRY", "SAYS_PRICE", "SAYS_DOCUMENT", "SAYS_IN_CAPITALS"),
    *("HTML_ONLY", "HTML_FRAGMENT", "HTML_DOT", "HTML_FORM", "TEXT_CODED_IDLY", "TEXT_SHORT_LINK", "LINK_READER"),
    *(
        "LINK_REDIRECT",
        "LINK_LURE",
        "LINK_ABUSED",
        "LINK_FREE_HOST",
        "LINK_SHORTENED",
        "PRIORITY_HIGH",
        "SUBJECT_MONEY",
    ),
    *("SUBJECT_EXCLAIMS", "RECEIVED_NO_RDNS", "RECEIVED_HELO_BARE", "MESSAGE_ID_NO_DOMAIN", "FROM_DOMAIN_ABUSED"),
    *("SUBJECT_SHOUTS", "SUBJECT_RAW", "SAYS_OPT_OUT", "SAYS_REPLY_STOP"),
}


def fit(given: dict[str, float], seen: Sequence[frozenset[str]], spam: Sequence[bool]) -> dict[str, float]:
    """Return weights under which the threshold parts the mails best; `seen` are the symbols of each."""
    counts = Counter(name for symbols in seen for name in symbols)
    moving = {name for name in given if counts[name] >= SELDOM}
    weights = dict(given)
    for _ in range(STEPS):
        slope = {name: 2 * LEANING * (weight - given[name]) for name, weight in weights.items()}
        for symbols, is_spam in zip(seen, spam, strict=True):
            score = sum(weights[name] for name in symbols)
            said = 1 / (1 + math.exp(-max(-30.0, min(30.0, SLOPE * (score - THRESHOLD)))))
            push = (said - is_spam) * SLOPE * (1.0 if is_spam else CLEAN_COUNTS)
            for name in symbols:
                slope[name] += push
        for name in moving:
            weight = weights[name]
            moved = weight - RATE * slope[name]
            low, high = sorted(share * given[name] for share in (RANGE[0], 1.0 if name in COMMON_TODAY else RANGE[1]))
            weights[name] = min(high, max(low, moved))
    return weights


def written(text: str, weights: dict[str, float]) -> str:
    """Return the table with other weights; what judgement gave stays beside those that differ from it."""
    for name, weight in weights.items():
        stands = re.compile(rf"(?<=^\[symbols\.{name}\]\n)weight = (.*)\n(?:judged = (.*)\n)?", re.MULTILINE)
        found = stands.search(text)
        assert found, name
        judged = found[2] or found[1]
        kept = f"judged = {judged}\n" if f"{weight:.2f}" != f"{float(judged):.2f}" else ""
        text = stands.sub(f"weight = {weight:.2f}\n{kept}" if kept else f"weight = {judged}\n", text)
    return text


def main() -> None:
    table = shipped()["symbols"]
    given = {name: symbol.get("judged", symbol["weight"]) for name, symbol in table.items() if name not in FIXED}
    arguments = options(argparse.ArgumentParser(description=__doc__))
    arguments.add_argument("--write", action="store_true", help="write the weights into the table")
    chosen = arguments.parse_args()
    learned: list[Letter] = [letter for letter in halves(corpus(chosen))[0] if letter.label != "advert"]
    seen = [frozenset(said.symbols) & given.keys() for said in rules([])(learned)]
    fitted = fit(given, seen, [letter.label == "spam" for letter in learned])
    for name, weight in sorted(fitted.items(), key=lambda each: -abs(each[1] - given[each[0]])):
        if abs(weight - given[name]) >= 0.05:
            print(f"{name:28} {given[name]:6.2f} -> {weight:6.2f}")
    if chosen.write:
        TABLE.write_text(written(TABLE.read_text("utf-8"), fitted), "utf-8")


if __name__ == "__main__":
    main()
