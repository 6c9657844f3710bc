"""How well the built-in score tells spam as it is written today: confusion tables over the mails of tests/modern.

The mails are of our own wording. One half was looked at while the rules were improved, the other was held back.

Run: python -m bench.modern [--misses {improved,held}]
"""

import argparse

from bench.accuracy import Letter, misses, rules, table
from tests.modern.mails import mails

HALVES = {"improved": False, "held": True}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--misses", choices=HALVES, help="name the mails of a half that are misjudged")
    chosen = arguments.parse_args()
    for half, held in HALVES.items():
        found = [Letter(made.name, made.label, made.data, made.auth) for made in mails() if made.held is held]
        said = rules([])(found)
        print(table(half, found, said))
        if chosen.misses == half:
            print(*misses(found, said), "", sep="\n")


if __name__ == "__main__":
    main()
