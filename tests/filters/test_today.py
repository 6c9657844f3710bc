"""What senders of today do: names of web sites, other writings, odd suffixes, programs' ways, quoted words."""

import pytest
from tests.filters.letters import TEXT, document, file, letter
from tests.filters.mails import ask, make, symbols
from tests.filters.test_score import auth

from gatepost.filters.symbols import Weights, load
from gatepost.message.hosts import registered

SCORE = make("score")
LOAN = "You have been pre-approved, bad credit is OK."


def found(text: str = TEXT, **made: object) -> list[str]:
    return symbols(ask(SCORE, letter(text, **made)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "Amazon.co.jp",
        "Aruba.it",
        "Booking.com",
        "BT Support",
        "ING",
        "Госуслуги",
        "Почта России",
        "三井住友カード",
        "ETC利用照会サービス",
    ],
)
def test_a_name_that_is_a_web_site_or_in_another_writing_is_a_brand_s(name: str) -> None:
    assert "FROM_NAME_BRAND" in found(From=f"{name} <info@a.test>")


@pytest.mark.parametrize(
    "name", ["Amazon Jones", "BT", "Ing. Jan Novák", "Wise Owl", "a.test", "三井寺", "Anna.it", "Почта Анны"]
)
def test_a_name_that_only_begins_alike_is_none(name: str) -> None:
    assert "FROM_NAME_BRAND" not in found(From=f"{name} <info@a.test>")


def test_a_brand_s_own_site_claims_nothing_false() -> None:
    assert "FROM_NAME_BRAND" not in found(From="Amazon.co.jp <info@amazon.co.jp>")
    assert "FROM_NAME_BRAND" not in found(From="Booking.com <noreply@booking.com>")


@pytest.mark.parametrize(
    "author",
    [
        "Receita Federal <a@receita.fazenda.gov.br>",
        "Service Canada <a@hrsdc-rhdcc.gc.ca>",
        "HMRC <a@notifications.service.gov.uk>",
        "myGov <a@ato.gov.au>",
        "Impots <a@dgfip.finances.gouv.fr>",
        "楽天証券 <a@mail.rakuten-sec.co.jp>",
        "三井住友海上 <a@ms-ins.com>",
    ],
)
def test_offices_and_firms_write_from_all_their_domains(author: str) -> None:
    assert "FROM_NAME_BRAND" not in found(From=author)


def test_no_domain_of_a_brand_s_is_one_that_is_never_asked_for() -> None:
    _, lists = load(Weights(), "symbols")
    owned = {domain for domains in lists.brands.values() for domain in domains if "*" not in domain}
    assert {domain for domain in owned if registered(domain) != domain} == set()


def test_a_short_name_of_a_brand_is_seen_in_a_domain_s_words_unless_it_is_a_word() -> None:
    assert "FROM_DOMAIN_BRAND" in found(From="Ann <a@usps-redelivery.com>")
    assert "FROM_DOMAIN_BRAND" not in found(From="Ann <a@post-office.com>")


@pytest.mark.parametrize(("domain", "abused"), [("pills.ru.com", True), ("pills.sa.com", True), ("pills.com", False)])
def test_a_suffix_of_two_labels_may_be_one_that_spam_favours(domain: str, abused: bool) -> None:
    assert ("FROM_DOMAIN_ABUSED" in found(From=f"Ann <a@{domain}>")) is abused
    assert ("LINK_ABUSED" in found(html=document(f'<a href="https://{domain}/x">more</a>'))) is abused


def test_a_server_under_a_suffix_that_spam_favours_is_no_merit() -> None:
    for domain, home in (("b.test", True), ("b.top", False)):
        came = f"from mail.{domain} (mail.{domain} [93.184.216.34]) by mx.ours.test; Mon, 24 Nov 2025 12:00:01 +0000"
        assert ("AUTHOR_AT_HOME" in found(From=f"Ann <a@{domain}>", Received=came)) is home


def test_the_message_ids_of_a_large_sender_need_no_domain() -> None:
    assert "MESSAGE_ID_NO_DOMAIN" not in found(Message_ID="<Xy3-kQ@geopod-ismtpd-17>")
    assert "MESSAGE_ID_NO_DOMAIN" in found(Message_ID="<Xy3-kQ@geopod>")


def test_html_as_gmail_writes_it_is_a_document() -> None:
    assert "HTML_FRAGMENT" not in found(html='<div dir="ltr"><div>Hello Bob, see you at ten.</div></div>')
    assert "HTML_FRAGMENT" in found(html="<div><div>Hello Bob, see you at ten.</div></div>")


def test_quoted_words_are_another_s() -> None:
    quoted = "".join(f"> {line}\r\n" for line in ("Hello,", LOAN))
    assert "SAYS_LOAN" in found(f"{TEXT}{LOAN}\r\n")
    assert "SAYS_LOAN" not in found(f"{TEXT}{quoted}")
    assert "SAYS_LOAN" in found(f"\r\n{quoted}"), "there are no other words"


def test_a_list_may_say_what_it_is_by_its_precedence() -> None:
    assert "LIST_DISCUSSION" in found(List_Id="<talk.a.test>", Precedence="list")
    assert "LIST_DISCUSSION" not in found(List_Id="<news.a.test>", Precedence="bulk")
    assert "LIST_DISCUSSION" not in found(Precedence="list")


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        ("SAYS_ACCOUNT", "Your membership has been paused: your bank declined the payment."),
        ("SAYS_ACCOUNT", "Twoje konto zostało tymczasowo zablokowane."),
        ("SAYS_ACCOUNT", "Hesabınız askıya alındı."),
        ("SAYS_ACCOUNT", "Ваша учётная запись будет заблокирована."),
        ("SAYS_ACCOUNT", "アカウントのご利用を制限しております。"),
        ("SAYS_ACCOUNT", "您的邮箱容量已满,请立即升级。"),
        ("SAYS_ACCOUNT", "Il suo conto è stato limitato."),
        ("SAYS_ACCOUNT", "A sua conta foi bloqueada."),
        ("SAYS_ACCOUNT", "Uw rekening wordt geblokkeerd."),
        ("SAYS_PARCEL", "Twoja paczka nr 1 została wstrzymana."),
        ("SAYS_PARCEL", "Gönderiniz teslim edilemedi."),
        ("SAYS_PARCEL", "Ваша посылка задержана."),
        ("SAYS_EARN", "Пассивный доход без опыта."),
        ("SAYS_EARN", "Sie können 300 Euro am Tag bequem von zu Hause verdienen."),
        ("SAYS_CHAT", "加微信 ann77"),
        ("SAYS_GOODS", "代开发票"),
        ("SAYS_CHOSEN", "Sie wurden ausgewählt."),
        ("SAYS_BANK_CHANGE", "Our usual account can not receive payments, use our new account below."),
        ("SAYS_COLD_OFFER", "Our products are exported to Europe."),
    ],
)
def test_lures_are_told_in_many_languages(symbol: str, said: str) -> None:
    assert symbol in found(f"{TEXT}{said}\r\n")


def news(leave: str = "To unsubscribe, write to us.", **made: object) -> list[str]:
    links = "".join(f'<a href="http://news.a.test/{number}">story {number}</a> ' for number in range(3))
    came = "from mail.a.test (mail.a.test [93.184.216.34]) by mx.ours.test; Mon, 24 Nov 2025 12:00:01 +0000"
    return found(html=document(f"{links} Save up to 40%. {leave}"), **{"Received": came, **made})


def test_a_newsletter_that_hides_nothing_may_offer() -> None:
    assert "NEWS_AT_HOME" in news()
    assert not {"SAYS_PRICE", "SAYS_OPT_OUT"} & set(news())


def test_what_lacks_its_own_server_or_a_way_to_leave_or_feigns_is_no_newsletter() -> None:
    elsewhere = "from mail.b.test (mail.b.test [93.184.216.34]) by mx.ours.test; Mon, 24 Nov 2025 12:00:01 +0000"
    for made in (news(""), news(Received=elsewhere), news(From="PayPal <a@a.test>"), news("Remove me. Viagra here.")):
        assert "NEWS_AT_HOME" not in made
        assert "SAYS_PRICE" in made


def test_links_lead_home_where_most_do() -> None:
    assert "LINKS_HOME" in news()
    others = "".join(f'<a href="http://b.test/{number}">story</a>' for number in range(3))
    assert "LINKS_HOME" not in news(others)


def test_what_is_said_far_apart_in_a_long_text_does_not_hold_together() -> None:
    said = "Please verify your account. It must be done within 24 hours, otherwise it will be closed."
    assert "LURE_ULTIMATUM" in found(f"{TEXT}{said}\r\n")
    long = found(f"{TEXT}{said}\r\n{'A word or two of other things. ' * 200}")
    assert {"SAYS_ACCOUNT", "SAYS_ULTIMATUM"} <= set(long)
    assert "LURE_ULTIMATUM" not in long


def test_to_confirm_an_address_is_no_lure() -> None:
    assert "SAYS_ACCOUNT" not in found(f"{TEXT}Please confirm your email address to finish signing up.\r\n")
    assert "SAYS_ACCOUNT" in found(f"{TEXT}Please confirm your mailbox.\r\n")


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        ("SAYS_COLD_OFFER", "I hope this email finds you well. I found your website and would like a quote."),
        ("SAYS_LOTTERY", "Please complete our short survey on your stay."),
        ("SAYS_ACCOUNT", "Le nombre de places est limité."),
        ("SAYS_ACCOUNT", "El aforo está limitado a 20 plazas."),
        ("SAYS_DATING", "She is a 3 years old girl."),
        ("SAYS_INVEST", "You are eligible to vote."),
        ("SAYS_EARN", "Support costs £600 a month."),
        ("SAYS_EARN", "Die Miete beträgt 900 Euro im Monat."),
        ("SAYS_EARN", "Le poste est payé 1 900 € par mois."),
        ("SAYS_EARN", "Ich arbeite heute von zu Hause."),
        ("SAYS_EARN", "Hoy me conecto desde casa."),
        ("SAYS_BANK_CHANGE", "Salut, voici mon nouveau numéro de téléphone."),
        ("SAYS_DATING", "I wanted to send you my photos of the hike."),
        ("SAYS_OPT_OUT", "Please pay, or the draft will be deleted: it takes room."),
    ],
)
def test_what_people_usually_say_is_no_lure(symbol: str, said: str) -> None:
    assert symbol not in found(f"{TEXT}{said}\r\n")


@pytest.mark.parametrize(
    "domain", ["hr-online.de", "taxi-online.de", "idea-bank.pl", "carte-online.fr", "tank-card.eu"]
)
def test_what_a_firm_sells_in_a_domain_is_no_lure(domain: str) -> None:
    assert "FROM_DOMAIN_LURE" not in found(From=f"Ann <a@{domain}>")


@pytest.mark.parametrize(
    ("host", "shortened"), [("photos.app.goo.gl", False), ("maps.app.goo.gl", False), ("goo.gl", True)]
)
def test_a_link_to_somebody_s_photos_hides_nothing(host: str, shortened: bool) -> None:
    assert ("LINK_SHORTENED" in found(html=document(f'<a href="https://{host}/Xyz1">photos</a>'))) is shortened


def test_gift_cards_are_bought_by_parents_too() -> None:
    asked = "We buy gift cards for our teachers, it's a surprise."
    assert "FREEMAIL_PITCH" not in found(asked, From="Laura <laura.diaz@gmail.com>")
    assert "SAYS_GIFT_CARD_WHOLE" in found(f"{asked} Scratch the back.", From="Laura <laura.diaz@gmail.com>")


def test_a_server_s_notice_may_name_its_program() -> None:
    assert "FROM_NAME_BRAND" not in found(From="cPanel on host17 <cpanel@host17.a.test>")
    assert "FROM_NAME_BRAND" in found(From="cPanel Support <cpanel@host17.a.test>")


@pytest.mark.parametrize(
    ("author", "leads", "feigned"),
    [
        ("Zimbra Administrator <admin@mail.a.test>", "https://mail.a.test/", False),
        ("Zimbra Administrator <admin@a.test>", "https://b.test/", True),
        ("Zimbra Administrator <admin@a.test>", "https://a.test/", True),  # such a domain may be bought for a day
        ("Microsoft Outlook <postmaster@a.test>", "https://go.microsoft.com/fwlink/", False),
        ("Microsoft Outlook <postmaster@a.test>", "https://mail.ours.test/owa", False),
        ("PayPal Service <service@mail.a.test>", "https://mail.a.test/", True),
    ],
)
def test_a_proven_server_bears_its_program_s_name_where_it_leads_nobody_away(
    author: str, leads: str, feigned: bool
) -> None:
    data = letter(html=document(f'<a href="{leads}">Sign in</a>'), From=author)
    assert ("FROM_NAME_BRAND" in symbols(ask(SCORE, data, auth=auth(proven=True)))) is feigned
    assert "FROM_NAME_BRAND" in symbols(ask(SCORE, data, auth=auth()))


def test_a_code_to_scan_or_a_file_may_lead_anywhere() -> None:
    author = "Microsoft Outlook <postmaster@a.test>"
    data = letter("Hi\r\n", From=author, files=(file("scan.png", kind="image/png"),))
    assert "FROM_NAME_BRAND" in symbols(ask(SCORE, data, auth=auth(proven=True)))
    assert "FROM_NAME_BRAND" not in symbols(ask(SCORE, data, auth=auth(proven=True), sender=None))


def test_the_address_that_exchange_reports_by_is_not_thrown_together() -> None:
    name = "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e"
    assert "FROM_LOCAL_RANDOM" not in found(From=f"Ann <{name}@a.test>")
    assert "FROM_LOCAL_RANDOM" in found(From=f"Ann <{name[9:]}@a.test>")


@pytest.mark.parametrize(
    ("domain", "lures"),
    [
        *[(domain, True) for domain in ("dmv-citation-gov.cc", "irs-gov.com", "gov.online", "gouv-amende.info")],
        *[(domain, False) for domain in ("a.gov", "dian.gov.co", "gov.scot", "gov.wales", "sa.gov.au", "gov.taipei")],
    ],
)
def test_an_office_s_suffix_inside_a_name_lures(domain: str, lures: bool) -> None:
    assert ("FROM_DOMAIN_LURE" in found(From=f"Ann <a@{domain}>")) is lures


@pytest.mark.parametrize(
    ("href", "nowhere"),
    [("", True), ("mailto:ann@b.test", False), ("tel:+18885550190", False), ("data:text/html;base64,PGI+", False)],
)
def test_a_link_that_is_no_web_page_s_leads_somewhere_too(href: str, nowhere: bool) -> None:
    shown = f'<a href="{href}">here</a>' if href else "here"
    data = letter(html=document(f"<p>Your password expires today, change it {shown}.</p>"))
    assert ("LURE_TO_NOWHERE" in symbols(ask(SCORE, data, auth=auth(proven=True)))) is nowhere


def test_a_report_of_held_mail_asks_for_no_password() -> None:
    page = document('<p>Your spam report for today. {} <a href="https://mail.a.test/">Release</a></p>')
    for asks, held in (("", True), ("Sign in with your e-mail password.", False)):
        data = letter(html=page.replace("{}", asks), From="Ann <a@mail.a.test>")
        assert ("DIGEST_AT_HOME" in symbols(ask(SCORE, data, auth=auth(proven=True)))) is held


def test_a_server_that_anybody_may_have_excuses_what_is_said_and_earns_nothing_else() -> None:
    for said, points in (("", 0.0), ("Your mailbox is almost full and will be deactivated.", 1.8)):
        page = document(f'<p>Your spam report for today. {said} <a href="https://mail.a.test/">Release</a></p>')
        found = ask(SCORE, letter(html=page, From="Ann <a@mail.a.test>"), auth=auth(proven=True))
        scores = {each.symbol: each.score for each in found}
        assert sum(score for symbol, score in scores.items() if symbol.startswith("SAYS_") and score > 0) == points
        assert scores["DIGEST_AT_HOME"] == pytest.approx(-points - 0.01)
