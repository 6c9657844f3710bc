"""How well the built-in score tells spam as it is written today: confusion tables over the mails of tests/modern.

The mails are of our own wording, in lots: those that were looked at while the rules were improved, those that were held
back, and those that were written then, of other kinds.

Run: python -m bench.modern [--misses {improved,held,fresh,later}]
"""

import argparse

from bench.accuracy import Letter, misses, rules, table
from tests.modern.mails import LOTS, mails


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--misses", choices=LOTS, help="name the mails of a lot that are misjudged")
    chosen = arguments.parse_args()
    for lot in LOTS:
        found = [Letter(made.name, made.label, made.data, made.auth) for made in mails(lot)]
        said = rules([])(found)
        print(table(lot, found, said))
        if chosen.misses == lot:
            print(*misses(found, said), "", sep="\n")


if __name__ == "__main__":
    main()
