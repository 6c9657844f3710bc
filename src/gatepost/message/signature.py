"""Puts a user's signature under the HTML of his mail, cleaned of what may run, load or track."""

import re
from html import escape

import nh3

from gatepost.message.markup import multiplies, slow
from gatepost.message.spoken import spoken

_TAGS_NAMES = (
    "a abbr b blockquote br center code div em font h1 h2 h3 h4 h5 h6 hr i img li ol p pre s small span strong sub sup"
    " table tbody td tfoot th thead tr u ul"
)
_TAGS = set(_TAGS_NAMES.split())
_LOOK = {"style", "align", "width", "height", "dir", "title"}
_ATTRIBUTES = {
    "*": _LOOK,
    "a": {"href"},
    "img": {"src", "alt"},
    "font": {"color", "face", "size"},
    "td": {"colspan", "rowspan", "valign", "bgcolor"},
    "table": {"border", "cellpadding", "cellspacing", "bgcolor"},
}
_STYLES_NAMES = (
    "color background-color font font-family font-size font-style font-weight line-height text-align text-decoration"
    " margin margin-top margin-bottom margin-left margin-right padding padding-top padding-bottom padding-left"
    " padding-right border border-top border-bottom border-left border-right border-collapse width height"
    " vertical-align white-space"
)
_STYLES = set(_STYLES_NAMES.split())
_END = re.compile(r"</body\s*>", re.IGNORECASE)
_TAGS_MAX = 5000  # that lie within each other take a tenth of a second, and the square of it
_COPIES = 50_000  # elements that formatting left open may become


def heavy(html: str) -> bool:
    """Tell whether it takes long to clean HTML: some kilobytes that nobody writes in good faith take all memory."""
    raw = html.encode("utf-8", "replace")
    return raw.count(b"<") > _TAGS_MAX or slow(raw) or multiplies(raw, _COPIES)


def cleaned(html: str) -> str:
    """Return HTML with harmless elements and styles alone; links and images by web, mail and phone addresses.

    Of what would take long its text is left.
    """
    if heavy(html):
        return "<br>".join(map(escape, spoken(html).splitlines()))
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto", "tel", "cid"},
        filter_style_properties=_STYLES,
        link_rel=None,
    )


def signed(html: str, sign: str) -> str:
    """Return a mail's HTML with the signature at its end, unless it stands there already (a form put it in)."""
    clean = cleaned(sign)
    if not clean.strip() or sign in html or clean in html:
        return html
    return below(html, f'<div class="signature" style="margin-top:1em">-- <br>{clean}</div>')


def below(html: str, block: str) -> str:
    """Return a mail's HTML with a block of ours at its end."""
    ends = list(_END.finditer(html))
    at = ends[-1].start() if ends else len(html)
    return html[:at] + block + html[at:]
