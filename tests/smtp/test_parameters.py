"""Parameters of MAIL and RCPT, read strictly (threat 21; the refusals stand in the dialogs)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.envelope import Dsn
from gatepost.smtp.parameters import mail_options, rcpt_options
from gatepost.smtp.replies import Refusal


def test_what_mail_may_carry() -> None:
    options = mail_options("size=7 BODY=8BITMIME SMTPUTF8 RET=full ENVID=a+20b AUTH=ada+40x", dsn=True)
    assert (options.size, options.eightbit, options.smtputf8) == (7, True, True)
    assert options.dsn == Dsn(ret="FULL", envid="a+20b")
    assert mail_options("", dsn=True).dsn == Dsn()


def test_requiretls_is_known_where_it_is_offered() -> None:
    """RFC 8689 section 2."""
    assert mail_options("requiretls", dsn=False, requiretls=True).requires_tls
    assert not mail_options("SIZE=7", dsn=False, requiretls=True).requires_tls
    for text, offered, code in (("REQUIRETLS=1", True, 501), ("REQUIRETLS=", True, 501), ("REQUIRETLS", False, 555)):
        with pytest.raises(Refusal) as caught:
            mail_options(text, dsn=False, requiretls=offered)
        assert caught.value.reply.code == code


def test_what_rcpt_may_carry() -> None:
    mail = Dsn(ret="HDRS", envid="x")
    asked = rcpt_options("NOTIFY=failure,DELAY ORCPT=RFC822;a+3Db", mail, dsn=True, smtputf8=False)
    assert asked == Dsn(notify=frozenset({"FAILURE", "DELAY"}), orcpt="RFC822;a+3Db", ret="HDRS", envid="x")
    assert rcpt_options("", mail, dsn=True, smtputf8=False) == mail


def test_an_original_address_beyond_ascii_needs_smtputf8() -> None:
    """RFC 6533 section 3."""
    assert rcpt_options("ORCPT=utf-8;bøb@x", Dsn(), dsn=True, smtputf8=True).orcpt == "utf-8;bøb@x"
    for text, smtputf8 in (("ORCPT=utf-8;bøb@x", False), ("ORCPT=rfc822;bøb@x", True), ("ORCPT=utf-8;\u202ex", True)):
        with pytest.raises(Refusal):
            rcpt_options(text, Dsn(), dsn=True, smtputf8=smtputf8)


@pytest.mark.parametrize("text", ["ENVID=" + "x" * 101, "AUTH", "AUTH=", "RET", "RET=", "BODY=", "SIZE=" + "1" * 21])
def test_limits_and_missing_values(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        mail_options(text, dsn=True)
    assert caught.value.reply.text.startswith("501 5.5.4 ")


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_read_or_refused(text: str, dsn: bool) -> None:
    for read in (lambda: mail_options(text, dsn=dsn), lambda: rcpt_options(text, Dsn(), dsn=dsn, smtputf8=True)):
        try:
            read()
        except Refusal as refusal:
            assert refusal.reply.code in (501, 555)
