"""What an HTML document says in plain text: paragraphs, lists, quotes, links; whatever it is made of."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.steps import steps

from gatepost.message.spoken import spoken


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", ""),
        ("Robert Stark<br/>King of the north", "Robert Stark\nKing of the north\n"),
        ("<p>One</p><p>Two\n  and   more</p>", "One\n\nTwo and more\n"),
        ("<div>a</div><div>b</div>", "a\nb\n"),
        ("<b>a</b>&nbsp;<i>b</i> &amp; &lt;c&gt;", "a\u00a0b & <c>\n"),
        ('<a href="https://x.test/?a=1&amp;b">here</a>', "here <https://x.test/?a=1&b>\n"),
        ('<a href="https://x.test/">https://x.test/</a>', "https://x.test/\n"),
        ('<a href="mailto:a@b.test">a@b.test</a> <a href="#top">top</a>', "a@b.test top\n"),
        ('<a href="javascript:alert(1)">x</a>', "x\n"),
        ("<ul><li>a</li><li>b<ol><li>c</li><li><p>d</p></li></ol></li></ul>e", "- a\n- b\n  1. c\n  2. d\n\ne\n"),
        ("<p>a</p><blockquote>b<p>c</p></blockquote>d", "a\n\n> b\n>\n> c\n\nd\n"),
        ("<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>", "A  B\n1  2\n"),
        ("<pre>a\n  b\n\nc</pre>", "a\n  b\n\nc\n"),
        ('<img src="x" alt="a  logo"><img src="y">', "[a logo]\n"),
        ("a<script>b()</script><style>p{}</style><title>t</title><template>u</template>", "a\n"),
        ("<p>a</p><div>-- <br>Bob<br>--</div>", "a\n\n-- \nBob\n--\n"),  # the line above a signature keeps its blank
        ("<h1>a</h1><hr>b", "a\n\n" + "-" * 40 + "\n\nb\n"),
    ],
)
def test_a_document_says(document: str, said: str) -> None:
    assert spoken(document) == said


def test_a_document_that_a_tree_would_take_long_for_is_read_by_pattern() -> None:
    assert spoken("<div>" * 5000 + "x &amp; y<script>no</script>") == "x & y\n"
    assert spoken("<div>" * 5000 + "x<STYLE a>no<script></script >y</style>z</script>") == "x\ny\nz\n"


def test_a_document_that_becomes_more_than_was_written_is_read_by_pattern() -> None:
    document = "<p>" + "".join(f"<b title={each}>" for each in range(70)) + "</p>" + "<p>x</p>" * 500
    assert steps(lambda: spoken(document)) < 60 * len(document)  # as a tree it has 35,000 elements
    assert spoken(document) == "x\n" * 500


def test_scripts_that_are_never_closed_take_one_pass() -> None:
    assert spoken("<script>" * 100_000 + "x") == "x\n"  # to look for the end of each would take hours


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "<p>",
                "</p>",
                "<li>",
                "<ul>",
                "</ul>",
                "<blockquote>",
                "</ol>",
                "<pre>",
                "a ",
                "<td>",
                "</a>",
                "<br>",
                "\n",
            ]
        )
    )
)
def test_any_soup_is_read(pieces: list[str]) -> None:
    said = spoken("".join(pieces))
    assert said.count("a") == pieces.count("a ")
    assert all(line == line.rstrip() for line in said.split("\n"))
