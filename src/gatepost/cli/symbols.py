"""Writes the manual's page of symbols from the table of the built-in score."""

from typing import Any

from gatepost.filters.symbols import shipped

HEAD = """\
# Symbols of the built-in score

The filter `score` adds up the points of the symbols that a mail shows; from the policy's `spamScore` on (5 unless it
says otherwise) the mail is SPAM. The filter `advert` adds up its own, apart from the spam score; from its `points` on
(3) the mail is an ADVERT. The trace and `gatepost explain` name each symbol with its points and what of the mail it
goes by.

To change a weight, or to turn a symbol off:

```toml
[filters.score]
weights = { HTML_ONLY = 0.2, LINK_SHORTENED = 0 }
```

To add symbols, phrases or brands of your own, name a file in `[filters.score] file` that is laid over the shipped
`gatepost/filters/symbols.toml`, table by table (a list in it takes the place of the shipped one):

```toml
[symbols.OUR_RIVAL]
weight = 2.5
about = "speaks of Acme"
where = "text"             # or subject, links, sender
patterns = ['\\bacme (inc|corp)\\b']

[symbols.OUR_RIVAL_LURES]
weight = 1.5
about = "speaks of Acme, and a link hides its target"
together = [["OUR_RIVAL"], ["LINK_SHORTENED", "LINK_FREE_HOST"]]   # of each row one

[lists.brands]
ourbank = ["ourbank.example", "mail.ourbank.example"]
```

Expressions are RE2, in any case. Weights of symbols that the fitted mails show often come from a fit
([accuracy](accuracy.md)), the others from judgement.

This page is made from the table by `make docs`.
"""


def symbols_page() -> str:
    """Return docs/symbols.md."""
    table = shipped()
    sections = [
        HEAD,
        _section("Points toward spam (`score`)", table["symbols"]),
        _section("Points toward an advert (`advert`)", table["adverts"]),
    ]
    return "\n".join(sections)


def _section(title: str, symbols: dict[str, dict[str, Any]]) -> str:
    rows = [f"| {name} | {symbol['weight']:g} | {symbol['about']} |" for name, symbol in symbols.items()]
    return "\n".join([f"## {title}", "", "| symbol | points | it says |", "| --- | --- | --- |", *rows]) + "\n"
