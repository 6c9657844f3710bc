"""Writes the files that are made from the code; `make docs` runs it, tests/test_docs.py holds them current."""

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from gatepost.cli.manual import PAGES

ROOT = Path(__file__).parents[1]

for name, page in PAGES.items():
    (ROOT / name).write_text(page(), encoding="utf-8")

for words in (ROOT / "src/gatepost/locale").rglob("*.po"):
    with words.open("rb") as source, words.with_suffix(".mo").open("wb") as compiled:
        write_mo(compiled, read_po(source, locale=words.parents[1].name))
