"""Writes the files that are made from the code; `make docs` runs it, tests/test_docs.py holds them current."""

from pathlib import Path

from gatepost.cli.manual import PAGES

ROOT = Path(__file__).parents[1]

for name, page in PAGES.items():
    (ROOT / name).write_text(page(), encoding="utf-8")
