"""What the classifier goes by: the tokens of a mail."""

import pytest

from gatepost.message import tokens
from gatepost.message.parse import dissect
from gatepost.message.tokens import Gist
from gatepost.settings import Limits

HEAD = b"From: Ann <ann@a.test>\r\nSubject: Your ORDER 77\r\nMessage-Id: <abc.12@x9.test>\r\n"


def gist(text: bytes, header: bytes = b"") -> Gist:
    return tokens.gist(dissect(HEAD + header + b"\r\n" + text, Limits()))


def written(mail: Gist) -> set[str]:
    return set(tokens.spell(mail, tokens.keys(mail)).values())


HTML = b"Content-Type: text/html; charset=utf-8\r\n"


@pytest.mark.parametrize(
    ("text", "header", "there", "missing"),
    [
        (b"Click here, now!!\r\n", b"", {"click", "click here", "here now", "!!"}, {"click now"}),
        (b"", b"", {"s:your", "s:your s:order", "shouted:ORDER", "id-host:x9.test", "id-shape:a.9"},
         {"order"}),
        (b"<style>hid</style><p>see <b>this</b></p><a href='http://a.b.bad.test/'>x</a>", HTML,
         {"see this", "host:a.b.bad.test", "domain:bad.test", "part:text/html/7bit/utf-8"}, {"hid", "style"}),
        (b"it costs $99.50 or 20%\r\n", b"", {"20%"}, set()),
        ("買賣 今\r\n".encode(), b"Content-Type: text/plain; charset=utf-8\r\n", {"買", "買 賣"}, {"買賣"}),
        (b"a" * 60 + b" x\r\n", b"", {"length:6", "length:6 x"}, set()),
        (b"x\r\n", b"X-Mailer: Bulk 3\r\nReceived: from a\r\nX-Spam-Flag: YES\r\n", {"x-mailer:bulk", "field:x-mailer"},
         {"field:received", "field:x-spam-flag"}),
    ],
    ids=["text", "headers", "html", "money", "signs", "long", "way"],
)  # fmt: skip
def test_a_mail_is_its_words_neighbours_and_marks(
    text: bytes, header: bytes, there: set[str], missing: set[str]
) -> None:
    found = written(gist(text, header))
    assert there <= found
    assert not missing & found


def test_keys_are_the_same_in_every_process_and_fit_the_store() -> None:
    mail = gist(b"one two one two\r\n")
    keys = tokens.keys(mail)
    assert len(keys) == len(set(keys))
    assert all(0 <= key < 1 << 60 for key in keys)
    assert {"one", "two", "one two", "two one"} <= written(mail)
    assert tokens.keys(Gist((["viagra", "now"],), frozenset())) == [
        56432792338934405,
        575038464508457806,
        144808718337470762,
    ]


def test_domains_have_keys_of_their_own_and_a_mail_is_one_whatever_its_order() -> None:
    keys = tokens.keys(gist(b"some words\r\n"))
    assert tokens.keys_for(keys, 0) == keys
    assert not set(tokens.keys_for(keys, 7)) & set(keys)
    assert tokens.identity(keys) == tokens.identity(keys[::-1]) != tokens.identity(keys[1:])


def test_a_mail_has_a_bounded_number_of_tokens() -> None:
    text = b" ".join(b"w%d" % number for number in range(9000))
    assert len(tokens.keys(gist(text + b"\r\n"))) == tokens.TOKENS_MAX
