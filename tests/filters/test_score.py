"""The built-in score: each symbol has a mail that shows it, and a twin that must not."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.examples import examples
from tests.filters.letters import TEXT, both, coded, document, file, letter, text_part
from tests.filters.mails import ask, make, recipient, symbols, zipped
from tests.message.documents import compound

from gatepost.filters.score import GTUBE
from gatepost.filters.signs.header import _jumbled
from gatepost.filters.symbols import shipped
from gatepost.message.look import look
from gatepost.model.address import Address
from gatepost.model.auth import AuthResults, Dmarc, Iprev, Policy, Result, Signature, Spf
from gatepost.model.envelope import Client, Login
from gatepost.model.verdict import Category
from gatepost.settings import SettingsError

SCORE, ADVERT = make("score"), make("advert")
VBA = compound({"VBA/dir": b"x", "VBA/_VBA_PROJECT": b"\xcc\x61"})
KNOWN = shipped()["symbols"]
HOME = "from mail.a.test (mail.a.test [93.184.216.34]) by mx.ours.test; Mon, 24 Nov 2025 12:00:01 +0000"


def came(helo: str, name: str, ip: str = "93.184.216.34") -> str:
    return f"from {helo} ({name} [{ip}]) by mx.ours.test with ESMTP; Mon, 24 Nov 2025 12:00:01 +0000"


def link(url: str, said: str = "the report") -> dict[str, Any]:
    return {"html": document(f'<a href="{url}">{said}</a>')}


def lure(url: str) -> dict[str, Any]:
    return link(url, "Please verify your account.")


def digest(url: str) -> dict[str, Any]:
    return link(url, "Your spam report for today.")


def picture(url: str) -> dict[str, Any]:
    return {"html": f'<html><body><a href="{url}"><img src="https://a.test/1.jpg"></a></body></html>'}


def says(text: str) -> dict[str, Any]:
    return {"text": f"{TEXT}{text}\r\n"}


def auth(
    spf: Result = Result.NONE, dmarc: Result = Result.NONE, policy: Policy = Policy.NONE, **members: Any
) -> AuthResults:
    one = Spf(result=spf, domain="a.test")
    return AuthResults(
        mail_from=one,
        helo=one,
        dmarc=Dmarc(result=dmarc, domain="a.test", policy=policy),
        authors=("ann@a.test",),
        **members,
    )


def bad_signature(result: Result) -> AuthResults:
    return auth(Result.PASS, Result.PASS, signatures=(Signature(result=result, domain="a.test", reason="body hash"),))


def encrypted() -> bytes:
    """Return an archive whose member needs a password, by its flag."""
    data = bytearray(zipped(a__txt=b"secret"))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def archive(name: str, content: bytes = b"x") -> bytes:
    """Return a zip archive of one member."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr(name, content)
    return out.getvalue()


PLAIN: dict[str, Any] = {}
MANY = ", ".join(f"{name}@ours.test" for name in ("abe", "abi", "abo", "aby", "acc", "bob"))
FEW = ", ".join(f"{name}@ours.test" for name in ("zoe", "bob", "kim"))
READERS = (recipient(address=Address("bob", "longname.example"), given=Address("bob", "longname.example")),)
LISTED = {"List_Unsubscribe": "<https://a.test/leave>"}
EARN = "Be your own boss and work from home."
MORE = "You can earn thousands of dollars. Join our team, no experience is necessary."
EXTORTION = "I have hacked your device and recorded you through your webcam. I send it to all your friends."
FACTORY = "We are a professional manufacturer."
SCARE = "We are a domain name registration service in China."
MIRACLE = "A little known trick."
ACCOUNT = "Please verify your account."
HOMEWARD = "".join(f'<a href="https://a.test/{number}">a</a>' for number in range(3))
PLACES = "".join(f'<a href="https://b{number}.test/x">a</a>' for number in range(8))
ABROAD = HOMEWARD.replace("a.test", "b.test")
BANK = "We have new bank account details."
OFFER = "We are a professional manufacturer. May I send you our catalogue?"
COIN = "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"
CHARGE = "$399 was charged to your card. If you did not authorise this, call +1 (888) 555-0190."
PROVEN = auth(proven=True)
FEE = (
    "I am the next of kin of the late Mr Johnson, who died in a plane crash. I need your assistance to transfer the sum"
    " of US$ 25 million dollars into your bank account."
)

# symbol -> a mail that shows it, a twin that must not; `mail_` goes to the envelope
PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "GTUBE": (says(GTUBE.decode()), says(GTUBE.decode().lower())),
    # who says that he wrote it
    "FROM_NAME_ADDRESS": ({"From": '"ceo@ours.test" <ann@a.test>'}, {"From": '"ann@mail.a.test" <ann@a.test>'}),
    "FROM_NAME_BRAND": ({"From": "PayPal Service <ann@a.test>"}, {"From": "PayPal Service <x@mail.paypal.com>"}),
    "FROM_NAME_BRAND_ALONE": (
        {**link("https://b.test/x"), "From": "PayPal Service <ann@a.test>"},
        {**link("https://www.paypal.com/x"), "From": "PayPal Service <ann@a.test>"},
    ),
    "SIGNED_AS_BRAND": (
        says("Your file waits at https://b.test/x The Netflix Team"),
        says("Your film waits at https://www.netflix.com/x The Netflix Team"),
    ),
    "FROM_NAME_CONTROLS": ({"From": "An\u202en Lee <ann@a.test>"}, {"From": "Anné Lee <ann@a.test>"}),
    "FROM_NAME_MIXED": ({"From": "Pаypаl Team <ann@a.test>"}, {"From": "Паша Lee <ann@a.test>"}),
    "FROM_NAME_PITCH": ({"From": "Hot Casino <ann@a.test>"}, {"From": "Ann Casimir <ann@a.test>"}),
    "FROM_NAME_CHIEF": ({"From": "Jo Lee CEO <jo@gmail.com>"}, {"From": "Jo Lee CEO <jo@a.test>"}),
    "FROM_NAME_OURS": ({"From": "ours.test mail server <ann@a.test>"}, {"From": "yours.example team <ann@a.test>"}),
    "FROM_FREEMAIL": ({"From": "Ann <ann@gmail.com>"}, {}),
    "FROM_LOCAL_OFFICE": ({"From": "Ann <order.desk77@gmail.com>"}, {"From": "Ann <order.desk77@a.test>"}),
    "FROM_DOMAIN_ALIKE": ({"From": "Ann <ann@micr0soft.com>"}, {"From": "Ann <ann@microsoft.com>"}),
    "FROM_DOMAIN_BRAND": ({"From": "Ann <a@paypal-safe.com>"}, {"From": "Ann <a@e.paypal.com>"}),
    "FROM_DOMAIN_OURS_ALIKE": (
        {"From": "Ann <ann@longnarne.example>", "mail_recipients": READERS},
        {"From": "Ann <ann@long-name.example>", "mail_recipients": READERS},
    ),
    "FROM_DOMAIN_MIXED": ({"From": "Ann <ann@xn--pypal-4ve.com>"}, {"From": "Ann <ann@xn--bcher-kva.de>"}),
    "FROM_DOMAIN_ABUSED": ({"From": "Ann <ann@offers.top>"}, {"From": "Ann <ann@offers.org>"}),
    "FROM_DOMAIN_HYPHENS": ({"From": "Ann <a@our-old-mill.com>"}, {"From": "Ann <a@our-old-mill.de>"}),
    "FROM_DOMAIN_LURE": ({"From": "Ann <a@secure-billing.example>"}, {"From": "Ann <a@david-miller.example>"}),
    "FROM_LOCAL_RANDOM": ({"From": "Ann <x7k2m9q4w@a.test>"}, {"From": "Ann <ann.lee1984@a.test>"}),
    "FROM_IS_TO": ({"From": "Bob <bob@ours.test>"}, {"From": "Bob <bob@ours.test>", "mail_auth": auth(proven=True)}),
    "FROM_OURS_UNPROVEN": (
        {"From": "Eve <eve@ours.test>", "mail_auth": auth()},
        {"From": "Eve <eve@ours.test>", "mail_auth": auth(proven=True)},
    ),
    "FROM_FREEMAIL_ELSEWHERE": (
        {"From": "Ann <ann@gmail.com>", "Received": came("gmail.com", "host.a.test")},
        {"From": "Ann <ann@gmail.com>", "Received": came("mail-io1.google.com", "mail-io1.gmail.com")},
    ),
    "REPLY_TO_ELSEWHERE": ({"Reply_To": "<ann@b.test>"}, {"Reply_To": "<lee@mail.a.test>"}),
    "REPLY_TO_FREEMAIL": ({"Reply_To": "<ann@gmail.com>"}, {"Reply_To": "<ann@a.test>"}),
    "REPLY_TO_ALIKE": (
        {"From": "Ann <ann@contoso.com>", "Reply_To": "<ann@cont0so.com>"},
        {"From": "Ann <ann@contoso.com>", "Reply_To": "<ann@fabrikam.com>"},
    ),
    "FROM_ENCODED_IDLY": (
        {"Subject": "=?utf-8?B?SW52b2ljZSBub3c=?="},
        {"Subject": "=?utf-8?B?w5xiZXJzaWNodA==?="},
    ),
    # the header
    "MESSAGE_ID_MISSING": ({"Message_ID": None}, PLAIN),
    "MESSAGE_ID_ODD": ({"Message_ID": "<20251124120000>"}, PLAIN),
    "MESSAGE_ID_NO_DOMAIN": ({"Message_ID": "<1$2$3@bjjwxv>"}, {"Message_ID": "<1@[192.0.2.1]>"}),
    "MESSAGE_ID_ELSEWHERE": ({"Message_ID": "<1@mail.yahoo.com>"}, {"Message_ID": "<1@mail.b.test>"}),
    "MESSAGE_ID_OURS": ({"Message_ID": "<1@ours.test>"}, {"Message_ID": "<1@ours.test>", **LISTED}),
    "DATE_AHEAD": ({"Date": "Tue, 25 Nov 2025 12:00:00 +0000"}, {"Date": "Mon, 24 Nov 2025 14:00:00 +0000"}),
    "DATE_BEHIND": ({"Date": "Fri, 14 Nov 2025 12:00:00 +0000"}, {"Date": "Sun, 23 Nov 2025 12:00:00 +0000"}),
    "DATE_ODD": ({"Date": "Mon, 24 Nov 25 12:00:00 Eastern Daylight Time"}, {"Date": "24 Nov 2025 12:00 GMT"}),
    "DATE_ZONE_ABSURD": ({"Date": "Mon, 24 Nov 2025 12:00:00 -1600"}, {"Date": "Mon, 24 Nov 2025 17:30:00 +0530"}),
    "TO_MISSING": ({"To": None}, {"To": None, "Cc": "bob@ours.test"}),
    "TO_UNDISCLOSED": ({"To": "undisclosed-recipients:;"}, PLAIN),
    "TO_NOT_READER": ({"To": "zoe@b.test"}, {"To": "zoe@b.test, Bob <BOB@ours.test>"}),
    "TO_ALIKE": ({"To": MANY}, {"To": FEW}),
    "SUBJECT_MISSING": ({"Subject": None}, PLAIN),
    "SUBJECT_SHOUTS": ({"Subject": "CHEAP TONER FOR YOU"}, {"Subject": "RE: NATO and you"}),
    "SUBJECT_EXCLAIMS": ({"Subject": "Come in!!"}, {"Subject": "Is it so?"}),
    "SUBJECT_MONEY": ({"Subject": "Have $5000"}, {"Subject": "Have 5000"}),
    "SUBJECT_GAPPY": ({"Subject": "get F R E E now"}, {"Subject": "get a b now"}),
    "SUBJECT_PADDED": ({"Subject": "are you in" + 20 * " " + "XGHTM"}, {"Subject": "our pages by https"}),
    "SUBJECT_OBFUSCATED": ({"Subject": "best pr1ces now"}, {"Subject": "best mp3s of b2b"}),
    "SUBJECT_NAMES_READER": ({"Subject": "bob@ours.test is full"}, {"Subject": "bobsled"}),
    "SUBJECT_FAKE_REPLY": ({"Subject": "Re: Tomorrow"}, {"Subject": "Re: Tomorrow", "In_Reply_To": "<1@ours.test>"}),
    "SUBJECT_RAW": ({"Subject": "Grüße"}, {"Subject": "Grüße", "mail_smtputf8": True}),
    "SUBJECT_MIXED": ({"Subject": "=?utf-8?Q?your_p=D0=B0ssword?="}, {"Subject": "=?utf-8?B?0J/RgNC40LLQtdGC?= Bob"}),
    "MAILER_FORGED": (
        {"X_Mailer": "Microsoft Outlook Express 6.00"},
        {"X_Mailer": "Microsoft Outlook Express 6.00", "X_MimeOLE": "Produced By Microsoft MimeOLE V6.00"},
    ),
    "MAILER_RANDOM": ({"X_Mailer": "ZjVqnSBZyGW7rtRK5M"}, {"X_Mailer": "Mailer 4.2"}),
    "SCRIPT_SENT": ({"X_PHP_Originating_Script": "33:m.php"}, {"X_Other": "m.php"}),
    "MIME_VERSION_ODD": ({"MIME_Version": None, "html": document("")}, {"MIME_Version": None}),
    "PRIORITY_HIGH": ({"X_Priority": "1 (Highest)"}, {"X_Priority": "3"}),
    "TEMPLATE_LEFT": ({"Subject": "Hello {{first_name}}"}, {"Subject": "Hello {first}"}),
    "HEADER_NAMES_ODD": ({"Xqzrtplmk": "1"}, {"X_Qzrtplmk": "1"}),
    "LIST_DISCUSSION": ({"List_Post": "<mailto:l@a.test>"}, {"List_Post": "NO"}),
    "REPLY_THREADED": ({"Subject": "Re: x", "References": "<1@ours.test>"}, {"Subject": "Re: x"}),
    "SIGNED_CONTENT": ({"raw": both(TEXT, document("")).replace(b"/alternative", b"/signed")}, PLAIN),
    # the way it came
    "RECEIVED_NONE": ({"Received": None}, PLAIN),
    "RECEIVED_HELO_FORGED": (
        {"Received": came("yahoo.com", "dsl.example.net")},
        {"Received": came("yahoo.com", "n1.bullet.yahoo.com")},
    ),
    "RECEIVED_HELO_BARE": ({"Received": came("voip", "mail.a.test")}, PLAIN),
    "RECEIVED_NO_RDNS": ({"Received": came("mail.a.test", "unknown")}, PLAIN),
    "RECEIVED_DYNAMIC": (
        {"Received": came("mail.a.test", "adsl-93-184-216-34.isp.example")},
        {"Received": came("mail.a.test", "adsl-93-184-216-34.isp.example").replace("ESMTP", "ESMTPSA")},
    ),
    "AUTHOR_AT_HOME": (
        {"Received": came("mx.a.test", "mx.a.test")},
        {"Received": came("mx.a.test", "mx.a.test"), "mail_auth": auth(iprev=Iprev(name="mx.b.test"))},
    ),
    "HELO_IP": (
        {"mail_client": Client(ip="93.184.216.34", helo="93.184.216.34")},
        {"mail_client": Client(ip="10.1.2.3", helo="10.1.2.3")},
    ),
    "HELO_BARE": (
        {"mail_client": Client(ip="93.184.216.34", helo="pc")},
        {"mail_client": Client(ip="127.0.0.1", helo="pc")},
    ),
    "HELO_OURS": (
        {"mail_client": Client(ip="93.184.216.34", helo="ours.test")},
        {"mail_client": Client(ip="93.184.216.34", helo="ours.test", login=Login(1, 1, "eve@ours.test"))},
    ),
    # proofs
    "SPF_FAIL": ({"mail_auth": auth(Result.FAIL)}, {"mail_auth": auth(Result.FAIL, proven=True)}),
    "SPF_SOFTFAIL": ({"mail_auth": auth(Result.SOFTFAIL)}, {"mail_auth": auth(Result.NEUTRAL)}),
    "SPF_NONE": ({"mail_auth": auth()}, {"mail_auth": auth(Result.PASS)}),
    "DKIM_FAIL": ({"mail_auth": bad_signature(Result.FAIL)}, {"mail_auth": bad_signature(Result.TEMPERROR)}),
    "DMARC_FAIL_REJECT": (
        {"mail_auth": auth(dmarc=Result.FAIL, policy=Policy.REJECT)},
        {"mail_auth": auth(dmarc=Result.FAIL, policy=Policy.REJECT), "List_Post": "<mailto:l@a.test>"},
    ),
    "DMARC_FAIL_QUARANTINE": (
        {"mail_auth": auth(dmarc=Result.FAIL, policy=Policy.QUARANTINE)},
        {"mail_auth": auth(dmarc=Result.PASS, policy=Policy.QUARANTINE)},
    ),
    "DMARC_FAIL": ({"mail_auth": auth(dmarc=Result.FAIL)}, {"mail_auth": auth(dmarc=Result.TEMPERROR)}),
    "AUTHOR_UNPROVABLE": ({"mail_auth": auth()}, {"mail_auth": auth(unsure=True)}),
    "RDNS_MISSING": (
        {"mail_auth": auth(iprev=Iprev(result=Result.PERMERROR, ip="93.184.216.34"))},
        {"mail_auth": auth(iprev=Iprev(result=Result.TEMPERROR, ip="93.184.216.34"))},
    ),
    "PROVEN": ({"mail_auth": auth(proven=True)}, {"mail_auth": auth()}),
    "COLLEAGUE_PROVEN": (
        {"From": "Eve <eve@ours.test>", "mail_auth": auth(proven=True)},
        {"From": "Eve <eve@ours.test>", "mail_auth": auth()},
    ),
    # how it looks
    "HTML_ONLY": ({"html": document("")}, {"raw": both(TEXT, document(""))}),
    "HTML_FRAGMENT": ({"html": f"<p>{TEXT}</p>"}, {"html": document("")}),
    "HTML_HIDDEN": (
        {"html": document(f'<div style="display: none">{80 * "words "}</div>')},
        {"html": document(f"<div>{80 * 'words '}</div>")},
    ),
    "HTML_FAINT": (
        {"html": document('<font color="#fffffe">not to be seen</font>')},
        {"html": document('<table bgcolor="#000080"><tr><td style="color:#fff">to be seen</td></tr></table>')},
    ),
    "HTML_TINY": (
        {"html": document(f'<p style="font-size:1px">{20 * "words "}</p>')},
        {"html": document(f'<p style="font-size:11px">{20 * "words "}</p>')},
    ),
    "HTML_WORDS_SPLIT": (
        {"html": document("<p>v<!-- a -->iag<!-- b -->ra p<b></b>ills</p>")},
        {"html": document("<p>some <!-- a --> words <!-- b --> and <b></b> more</p>")},
    ),
    "HTML_LETTERS_CODED": (
        {"html": document("".join(f"&#{ord(char)};" for char in "cheapest pills here"))},
        {"html": document("&#8217;&#233;" * 20)},
    ),
    "HTML_IMAGE_ONLY": (
        {"html": '<html><body><a href="https://a.test/"><img src="https://a.test/a.png"></a></body></html>'},
        {"html": document('<a href="https://a.test/"><img src="https://a.test/a.png"></a>' + 40 * "more words ")},
    ),
    "HTML_DOT": (
        {"html": document('<img src="https://a.test/o.gif" width="1" height="1">')},
        {"html": document('<img src="https://a.test/o.gif" width="90" height="30">')},
    ),
    "HTML_FORM": ({"html": document('<form action="https://a.test/"><input name="q"></form>')}, {"html": document("")}),
    "HTML_PASSWORD": (
        {"html": document('<form action="https://a.test/"><input type="password"></form>')},
        {"html": document('<form action="https://a.test/"><input type="text"></form>')},
    ),
    "HTML_SCRIPT": (
        {"html": document("<script>go()</script>")},
        {"html": document('<script type="application/ld+json">{}</script>')},
    ),
    "HTML_REFRESH": (
        {"html": '<html><head><meta http-equiv="Refresh" content="0;url=https://b.test/"></head><body>x</body></html>'},
        {"html": '<html><head><meta http-equiv="Content-Type" content="text/html"></head><body>x</body></html>'},
    ),
    "PARTS_DIFFER": (
        {"raw": both(" ".join(f"alpha{n}x" for n in range(40)), document(" ".join(f"beta{n}x" for n in range(40))))},
        {"raw": both(TEXT + " and so on and on" * 9, document("and so on and on"))},
    ),
    "TEXT_CODED_IDLY": ({"raw": coded(TEXT)}, {"raw": coded(f"{TEXT} für")}),
    "TEXT_ZERO_WIDTH": (says("via\u200bgra pi\u200blls ch\u200beap"), says("nice \u200b words \u200b here \u200b")),
    "TEXT_MIXED": (says("your pаsswоrd and ассоunt"), says("пароль и account")),
    "TEXT_GAPPY": (says("buy V i a g r a now"), says("plan a b c now")),
    "TEXT_SHOUTS": (says(12 * "BUY THESE GREAT PILLS TODAY "), says(12 * "look at these nice pictures ")),
    "TEXT_EXCLAIMS": (says("Great! Now! Go! Buy! Yes!! Wow!!!"), says("Great! See you.")),
    "TEXT_TAIL": (says("4139vOLW7-758DoDY1425FRhM1-764SMFc8513fCsLl40"), says("ticket 4139-758")),
    "TEXT_RAW": (
        {"raw": b"Content-Type: text/plain\r\n\r\nGr\xfc\xdfe und mehr\r\n"},
        says("Grüße und mehr"),
    ),
    "TEXT_SHORT_LINK": ({"text": "see https://b.test/x\r\n"}, {"text": "see you\r\n"}),
    "TEXT_NONE": ({"text": "\r\n"}, PLAIN),
    "GREETS_ADDRESS": ({"text": f"Dear bob@ours.test,\r\n{TEXT}"}, {"text": f"Dear ann@a.test,\r\n{TEXT}"}),
    "TEXT_OTHER_FREEMAIL": (says("Write to ann77@gmail.com."), says("Write to ann@a.test, bob@ours.test.")),
    # links
    "LINK_IP": (link("http://93.184.216.34/x"), link("http://192.168.1.1/x")),
    "LINKS_HOME": ({"html": document(HOMEWARD)}, {"html": document(f"{HOMEWARD}{ABROAD}")}),
    "LINKS_WIDE": ({"html": document(f"{'word ' * 500}{PLACES}")}, {"html": document(PLACES)}),
    "LINKS_NONE": ({"mail_auth": PROVEN}, {**says("Call 0541 555 0144."), "mail_auth": PROVEN}),
    "LINKS_OURS": (
        {**link("https://mail.ours.test/x"), "From": "Ann <a@ours.test>", "mail_auth": PROVEN},
        {**link("https://mail.ours.test/x"), "From": "Ann <a@ours.test>"},
    ),
    "LINKS_WITHIN": (
        {**link("https://mail.a.test:8443/x"), "From": "Ann <a@mail.a.test>", "mail_auth": PROVEN},
        {**link("https://a.test/x"), "From": "Ann <a@a.test>", "mail_auth": PROVEN},
    ),
    "LINKS_BRAND": (
        {**link("https://www.netflix.com/x"), "mail_auth": PROVEN},
        {**link("https://docs.google.com/forms/x"), "mail_auth": PROVEN},
    ),
    "NEWS_AT_HOME": (
        {"Received": HOME, "html": document(f"{HOMEWARD} To unsubscribe, click.")},
        {"Received": HOME, "html": document(HOMEWARD)},
    ),
    "LINK_PORT": (link("http://b.test:81/x"), link("http://b.test:8080/x")),
    "LINK_USER": (link("https://paypal.com@b.test/x"), link("https://b.test/x@paypal.com")),
    "LINK_ENCODED_HOST": (link("http://0x5db8d822/x"), link("http://b.test/%41")),
    "LINK_TEXT_OTHER": (
        link("https://b.test/x", "www.mybank.com/login"),
        link("https://e.mybank.com/x", "www.mybank.com"),
    ),
    "LINK_TEXT_BRAND": (
        link("https://e.a.test/x", "https://www.impots.gouv.fr/remboursement"),
        link("https://e.a.test/x", "www.b.test"),
    ),
    "LINK_ALIKE": (link("https://rnicrosoft.com/x"), link("https://microsoft.com/x")),
    "LINK_BRAND": (link("https://paypal.com.b-verify.net/x"), link("https://www.paypal.com/x")),
    "LINK_MIXED": (link("https://xn--pypal-4ve.com/x"), link("https://xn--bcher-kva.de/x")),
    "LINK_ABUSED": (link("https://b.icu/x"), link("https://b.org/x")),
    "LINK_SHORTENED": (link("https://bit.ly/x"), link("https://bits.example/x")),
    "LINK_FREE_HOST": (link("https://me.web.app/x"), link("https://me.app.example/x")),
    "LINK_REDIRECT": (link("https://b.test/r?u=https%3A%2F%2Fc.test%2F"), link("https://b.test/r?u=1")),
    "LINK_READER": (link("https://b.test/#bob@ours.test"), {**link("https://b.test/#bob@ours.test"), **LISTED}),
    "LINK_READER_ABROAD": (link("https://b.test/?e=bob@ours.test"), link("https://a.test/?e=bob@ours.test")),
    "LINK_OPEN_REDIRECT": (link("https://www.google.com/url?q=https://b.test/"), link("https://www.google.com/maps")),
    "LINK_CRAMMED": (link("https://b.test/wp-content/x/go.php"), link("https://b.test/wp-content/x/a.png")),
    "LINK_LURE": (link("https://b.test/signin/index.php"), link("https://b.test/design/index.php")),
    "LINK_OPT_OUT": (link("https://b.test/remove.html"), {**link("https://b.test/remove.html"), **LISTED}),
    "LINK_FILE": (link("https://b.test/invoice.exe"), link("https://b.test/invoice.pdf")),
    # files
    "FILE_PROGRAM": ({"files": (file("a.vbs"),)}, {"files": (file("a.pdf"),)}),
    "FILE_PROGRAM_PACKED": (
        {"files": (file("a.zip", archive("in.js")),)},
        {"files": (file("a.zip", archive("in.txt")),)},
    ),
    "FILE_MACROS": (
        {"files": (file("a.docm", archive("word/vbaProject.bin", VBA)),)},
        {"files": (file("a.docx", archive("word/document.xml")),)},
    ),
    "FILE_NAME_DOUBLE": ({"files": (file("a.pdf.exe"),)}, {"files": (file("a.v2.pdf"),)}),
    "FILE_TYPE_OTHER": (
        {"files": (file("a.pdf", b"MZ" + bytes(58) + b"\x80\0\0\0" + bytes(64) + b"PE\0\0" + bytes(200)),)},
        {"files": (file("a.pdf", b"%PDF-1.4 x"),)},
    ),
    "FILE_HTML": ({"files": (file("a.html", b"<html>x"),)}, {"files": (file("a.txt", b"x"),)}),
    "FILE_HTML_SCRIPT": (
        {"files": (file("a.htm", b"<html><script>go()</script>"),)},
        {"files": (file("a.htm", b"<html>x"),)},
    ),
    "FILE_IMAGE_OF_DISK": ({"files": (file("a.iso"),)}, {"files": (file("a.is"),)}),
    "FILE_ARCHIVE_ODD": ({"files": (file("quote.r00"),)}, {"files": (file("quote.rar"),)}),
    "FILE_PASSWORD_TOLD": (
        {**says("The password is 1234."), "files": (file("a.zip", encrypted()),)},
        {"files": (file("a.zip", encrypted()),)},
    ),
    "FILE_ALONE": ({"text": "hi\r\n", "files": (file("a.pdf"),)}, {"files": (file("a.pdf"),)}),
    # what it says
    "SAYS_ADVANCE_FEE": (says(FEE), says("My next of kin is my sister.")),
    "SAYS_ADVANCE_FEE_WHOLE": (
        says(FEE + " This is strictly confidential; you get 30% of it. Reply urgently with your telephone."),
        says("My next of kin is my sister. She has a bank account number and a solicitor."),
    ),
    "SAYS_LOTTERY": (says("You have won the lottery."), says("We won the match.")),
    "SAYS_CHOSEN": (
        says("Answer 5 short questions and receive a voucher."),
        says("Please answer 5 short questions on your stay."),
    ),
    "SAYS_PHARMA": (says("Buy V1agra here."), says("Buy a viola here.")),
    "SAYS_PHARMA_WHOLE": (says("Buy Viagra, no prescription, and lose weight."), says("Buy Viagra.")),
    "SAYS_SEX": (says("Hot girls wait."), says("Hot soup waits.")),
    "SAYS_SEX_WHOLE": (says("Nude girls, hardcore porn."), says("Nude girls.")),
    "SAYS_LOAN": (says("You are pre-approved: lowest mortgage rates."), says("I lend you my book.")),
    "SAYS_EARN": (says(EARN), says("My boss is at home.")),
    "SAYS_EARN_WHOLE": (says(f"{EARN} {MORE}"), says(EARN)),
    "SAYS_INVEST": (says("Bitcoin trading robot with guaranteed profits."), says("I trade my old bike.")),
    "SAYS_EXTORTION": (
        says("I have hacked your device and filmed you by your webcam. Pay in bitcoin within 48 hours."),
        says("My new webcam is fine."),
    ),
    "SAYS_EXTORTION_WHOLE": (
        says(f"{EXTORTION} Send me 500 dollars in bitcoin."),
        says(EXTORTION),
    ),
    "SAYS_SUMMONS": (says("There is an arrest warrant against you."), says("I wait for the court to be free.")),
    "SAYS_COIN_ADDRESS": (says("Send to 1BoatSLRHtKNngkdXEeobR76b53LETtpyT"), says("Send to DE89370400440532013000")),
    "SAYS_PAY_COINS": (says("Send me $900 in bitcoin."), says("I read about bitcoin.")),
    "SAYS_SELLER_NOTE": (says("Note from seller: thanks."), says("A note from Ann.")),
    "SAYS_QUARANTINE": (says("Your spam report for today."), says("Your report for today.")),
    "SAYS_DETAILS": (says("Send your full name, address, phone number."), says("What is your name?")),
    "SAYS_ACCOUNT": (
        says("Your mailbox is almost full; verify your account."),
        says("The account of my trip is long."),
    ),
    "SAYS_ACCOUNT_WHOLE": (
        says("Your account has been suspended. Confirm your identity."),
        says("Confirm your identity."),
    ),
    "SAYS_ULTIMATUM": (
        says("Confirm within 24 hours, otherwise it will be deleted."),
        says("The shop opens within 24 hours."),
    ),
    "SAYS_SCAN": (says("Scan the QR code with your phone."), says("I send the scan from my phone.")),
    "SAYS_INVEST_WHOLE": (
        says("Guaranteed returns with crypto trading."),
        says("Guaranteed returns with old stamps."),
    ),
    "SAYS_SALARY": (says("Your salary increase was approved."), says("I got my salary.")),
    "SAYS_CREDENTIALS": (says("Sign in with your work email to view it."), says("Sign in to view it.")),
    "SAYS_PAYROLL": (says("Before the next payroll is run."), says("Before the next train.")),
    "SAYS_PARCEL": (says("Votre colis n'a pas pu être livré."), says("Votre colis sera livré demain.")),
    "SAYS_DOCUMENT": (says("You have a new voicemail."), says("You have a voice.")),
    "SAYS_PAYMENT": (says("Your invoice is unpaid: final notice."), says("The bill is paid.")),
    "SAYS_BANK_CHANGE": (says("We have new bank account details."), says("We have a new bench.")),
    "SAYS_GIFT_CARD": (says("Please buy some gift cards for me."), says("Please buy some bread for me.")),
    "SAYS_GIFT_CARD_WHOLE": (
        says("Please buy some gift cards. Send pictures of the codes."),
        says("Please buy some gift cards. Send pictures of the party."),
    ),
    "SAYS_ERRAND": (says("Are you at your desk right now? I have a quick task."), says("Your desk is here.")),
    "SAYS_ERRAND_WHOLE": (
        says("Are you at your desk? I am in a meeting."),
        says("Are you at your desk?"),
    ),
    "SAYS_REFUND": (says("You are eligible for a tax refund."), says("I want my money back.")),
    "SAYS_CARD_DATA": (says("Indtast dit kortnummer her."), says("We never ask for your card number.")),
    "SAYS_CALL": (
        says("$349 was charged. Call our toll-free helpline to cancel."),
        says("I was charged with the task. Call me."),
    ),
    "SAYS_CHARGE": (
        says("$399 was charged to your card. If you did not authorise this, call +1 (888) 555-0190."),
        says("$399 was charged to your card during 2026-11-20. If you did not authorise this, tell us."),
    ),
    "SAYS_GOODS": (says("Replica watches and university diplomas."), says("My watch is old.")),
    "SAYS_MASS_MAIL": (says("10 million email addresses on CD for bulk email."), says("What is your email address?")),
    "SAYS_COLD_OFFER": (says(FACTORY), says("The factory is in Ludlow.")),
    "SAYS_COLD_OFFER_WHOLE": (says(f"{FACTORY} May I send you our price list?"), says(FACTORY)),
    "SAYS_DOMAIN_SCARE": (says(SCARE), says("My domain name is a.test.")),
    "SAYS_DOMAIN_SCARE_WHOLE": (says(f"{SCARE} Please transfer this email to your CEO."), says(SCARE)),
    "SAYS_CHAT": (says("Write to me on WhatsApp: +33 7 55 50 01 01"), says("The photos went to the WhatsApp group.")),
    "SAYS_CASINO": (says("200 free spins and a welcome bonus."), says("We saw a casino.")),
    "SAYS_MIRACLE": (says(MIRACLE), says("The doctor says that it is no miracle.")),
    "SAYS_MIRACLE_WHOLE": (says(f"{MIRACLE} Slash your energy bill."), says(MIRACLE)),
    "SAYS_DATING": (says("I am a lonely girl and saw your profile online."), says("My girl saw your dog.")),
    "SAYS_FREE": (says("Get your free trial, 100% guaranteed!"), says("Are you free at ten?")),
    "SAYS_HURRY": (says("Act now, limited time only."), says("I act in a play.")),
    "SAYS_PRICE": (says("Save 50% off the retail price: $99."), says("It costs 99 euros.")),
    "SAYS_CLICK": (says("Click here."), says("It makes a click.")),
    "SAYS_OPT_OUT": (
        says("To be removed from our list reply."),
        {**says("To be removed from our list reply."), **LISTED},
    ),
    "SAYS_OPTED_IN": (says("This is not spam."), says("This is not spoken.")),
    "SAYS_DEAR": ({"text": f"Dear friend,\r\n{TEXT}"}, {"text": f"Dear Ann,\r\n{TEXT}"}),
    "SAYS_IN_CAPITALS": (says("An amazing new product, as seen on TV."), says("I was amazed.")),
    # what tells together
    "LURE_HIDDEN_TARGET": (lure("https://bit.ly/x"), link("https://bit.ly/x")),
    "LURE_FEIGNED": ({**says(ACCOUNT), "From": "PayPal Service <ann@a.test>"}, says(ACCOUNT)),
    "FEIGNED_HIDDEN_TARGET": (
        {**link("https://bit.ly/x"), "From": "PayPal Service <ann@a.test>"},
        {**link("https://a.test/x"), "From": "PayPal Service <ann@a.test>"},
    ),
    "FEIGNED_OURS": (
        {"From": "ours.test mail <ann@a.test>", "Subject": "Space for bob@ours.test"},
        {"From": "ours.test mail <ann@a.test>", "Subject": "Space for you"},
    ),
    "SHORT_ABUSED": (
        {"From": "Ann <a@b.top>", "text": "see https://b.top/x\r\n"},
        {"text": "see https://b.test/x\r\n"},
    ),
    "CREDENTIALS_ASKED": (
        {**says("User name: Password: Date of birth:"), "Reply_To": "<ann@gmail.com>"},
        says("User name: Password: Date of birth:"),
    ),
    "COINS_DEMANDED": (
        {**says(f"Send me $900 in bitcoin: {COIN}"), "From": "Ann <ann@gmail.com>"},
        says(f"Send me $900 in bitcoin: {COIN}"),
    ),
    "CHARGE_RELAYED": (says(f"Note from seller: {CHARGE}"), says(CHARGE)),
    "DETAILS_FOR_MONEY": (
        says(f"{EARN} Send your full name, address, phone number."),
        says("Send your full name, address, phone number."),
    ),
    "NOTICE_OF_OURS": (
        {**link("https://mail.ours.test/x"), "From": "Ann <a@ours.test>", "mail_auth": PROVEN},
        {**link("https://b.test/x"), "From": "Ann <a@ours.test>", "mail_auth": PROVEN},
    ),
    "NOTICE_AT_HOME": (
        {**lure("https://mail.a.test/x"), "From": "Ann <a@mail.a.test>", "mail_auth": PROVEN},
        {**lure("https://mail.a.test/x"), "From": "PayPal Service <a@mail.a.test>", "mail_auth": PROVEN},
    ),
    "DIGEST_AT_HOME": (
        {**digest("https://mail.a.test/x"), "From": "Ann <a@mail.a.test>", "mail_auth": PROVEN},
        {**digest("https://b.test/x"), "From": "Ann <a@mail.a.test>", "mail_auth": PROVEN},
    ),
    "LURE_TO_NOWHERE": ({**says(ACCOUNT), "mail_auth": PROVEN}, says(ACCOUNT)),
    "LURE_TO_BRAND": (
        {**lure("https://www.netflix.com/x"), "From": "Netflix <a@netflix.com>", "mail_auth": PROVEN},
        {**lure("https://b.test/x"), "From": "Netflix <a@netflix.com>", "mail_auth": PROVEN},
    ),
    "FEIGNED_TWICE": (
        {"From": "PayPal Service <ann@secure-billing.example>"},
        {"From": "PayPal Service <ann@a.test>"},
    ),
    "LURE_ULTIMATUM": (says(f"{ACCOUNT} It will be deleted within 24 hours."), says(ACCOUNT)),
    "LURE_NAMES_READER": (lure("https://b.test/?e=bob@ours.test"), lure("https://a.test/?e=bob@ours.test")),
    "LURE_SCAN": (says(f"{ACCOUNT} Scan the QR code with your phone."), says("Scan the QR code with your phone.")),
    "LURE_FILE": (
        {"text": f"{TEXT}Your invoice is unpaid: final notice.", "files": (file("invoice.exe"),)},
        {"files": (file("invoice.exe"),)},
    ),
    "LURE_ABUSED": ({**says(ACCOUNT), "From": "Ann <a@b.top>"}, {**says("Hello."), "From": "Ann <a@b.top>"}),
    "FEIGNED_ROUGHLY": (
        {**says("Dear customer, hello."), "From": "PayPal <a@a.test>"},
        {**says("Dear Bob, hello."), "From": "PayPal <a@a.test>"},
    ),
    "PAY_ELSEWHERE": ({**says(BANK), "Subject": "Re: Invoice 4"}, {**says(BANK), "Subject": "Invoice 4"}),
    "OFFER_OPT_OUT": (says(f"{OFFER} Reply STOP to be removed."), says(OFFER)),
    "SAYS_REPLY_STOP": (says("Reply STOP to be removed."), says("Reply and stop here.")),
    "OFFER_STRANGER": (says(f"Dear Sir, {OFFER}"), says(f"Dear Bob, {OFFER}")),
    "PITCH_UNASKED": (says("200 free spins. Act now!"), says("200 free spins.")),
    "PITCH_WRITE_ELSEWHERE": (says(f"{EARN} Write to ann77@gmail.com."), says(f"{EARN} Write to ann@a.test.")),
    "LURE_ASKS_CARD": (
        says("You are eligible for a tax refund. Enter your card details."),
        says("Enter your card details."),
    ),
    "PITCH_REPLY_FREEMAIL": ({**says(EARN), "Reply_To": "<ann@gmail.com>"}, {**says(EARN), "Reply_To": "<ann@a.test>"}),
    "FREEMAIL_PITCH": ({**says(EARN), "From": "Ann <ann@gmail.com>"}, says(EARN)),
    "FREEMAIL_OFFICE": (
        {**says(EARN), "From": "Ann <hiring.team@gmail.com>"},
        {**says(EARN), "From": "Ann <ann@gmail.com>"},
    ),
    "PITCH_ABUSED": ({**says("200 free spins."), "From": "Ann <a@b.top>"}, {**says("Hello."), "From": "Ann <a@b.top>"}),
    "PICTURE_HIDDEN_TARGET": (picture("https://bit.ly/x"), picture("https://a.test/x")),
}


def found(made: dict[str, Any]) -> list[str]:
    fields = {name: value for name, value in made.items() if not name.startswith("mail_")}
    envelope = {name.removeprefix("mail_"): value for name, value in made.items() if name.startswith("mail_")}
    return symbols(ask(SCORE, letter(**fields), **envelope))


def test_a_plain_letter_shows_nothing() -> None:
    assert found({}) == []


@pytest.mark.parametrize("text", ["Hi, wire it today by MoneyGram\r\n", TEXT])
def test_a_text_is_judged_alike_whether_its_part_has_a_name_or_not(text: str) -> None:
    for raw in (text_part(text), both(text, f"<html><body><p>{text}</p></body></html>")):
        named = raw.replace(b"charset=utf-8", b"name=a.html; charset=utf-8")
        assert found({"raw": named}) == found({"raw": raw})


@pytest.mark.parametrize("name", ['"PayPal <service@paypal.com>"', "=?utf-8?q?PayPal_=3Cservice=40paypal.com=3E?="])
def test_an_address_in_brackets_in_a_name_makes_nobody_the_author(name: str) -> None:
    assert "FROM_NAME_ADDRESS" in found({"From": f"{name} <ann@a.test>"})


BARE: dict[str, Any] = {"Received": None, "text": "This is a test mailing\r\n"}


@pytest.mark.parametrize(
    "members",
    [
        BARE,
        {**BARE, "Message_ID": None, "To": None, "Subject": None},
        {**BARE, "Message_ID": "<20251124120000.1@box>", "X_Mailer": "swaks v20201014.0"},
        {**BARE, "Message_ID": "<1@box>", "To": "root", "From": "root@box.a.test (Cron Daemon)"},
        {**BARE, "Message_ID": None, "text": "", "html": '<p>See <a href="http://a.test/x">this</a></p>'},
        {**BARE, "From": "Mail Delivery System <MAILER-DAEMON@a.test>", "Auto_Submitted": "auto-replied"},
        {**BARE, "From": "ann20251@a.test", "Subject": "HELLO WORLD"},
    ],
)
def test_what_a_script_on_this_machine_hands_in_is_no_spam(members: dict[str, Any]) -> None:
    """Little of a header, no proof to be had, a client that calls itself `box`: far from the five points of spam."""
    given = dict(members)
    data = letter(given.pop("text"), html=given.pop("html", ""), **given)
    findings = ask(SCORE, data, auth=auth(), client=Client(ip="127.0.0.1", helo="box"))
    assert sum(each.score for each in findings) < 4.0, symbols(findings)


def test_a_domain_in_foreign_letters_that_looks_like_ours_is_seen_and_ours_is_not_told_to_others() -> None:
    """Another recipient's domain is none of a reader's business (rules 12)."""
    data = letter("Hi\r\n", From="Ann <ann@xn--longnme-6fg.example>")
    (found,) = [each for each in ask(SCORE, data, recipients=READERS) if each.symbol == "FROM_DOMAIN_OURS_ALIKE"]
    assert found.seen == "xn--longnme-6fg.example"
    ours = Client(ip="192.0.2.7", login=Login(1, 1, "ann@b.test"))
    assert "FROM_DOMAIN_OURS_ALIKE" not in symbols(ask(SCORE, data, recipients=READERS, client=ours))


@pytest.mark.parametrize("attached", [file("setup.exe"), file("tools.zip", zipped(setup__exe=b"x"))])
def test_a_program_alone_makes_no_spam_of_an_unproven_mail(attached: bytes) -> None:
    """Whether programs pass is said by the attachment rules (contract section 7)."""
    data = letter("Hi\r\n", files=(attached,), Received=None, Message_ID="<1@box>")
    findings = ask(SCORE, data, auth=auth(), client=Client(ip="93.184.216.34", helo="box.a.test"))
    assert {"FILE_ALONE", "AUTHOR_UNPROVABLE"} < set(symbols(findings))
    assert sum(each.score for each in findings) < 5.0, symbols(findings)


def test_a_page_in_utf_16_hides_no_script() -> None:
    page = "<html><script>go()</script>".encode("utf-16")
    assert "FILE_HTML_SCRIPT" in found({"files": (file("a.htm", page, "text/html"),)})


def test_a_long_name_of_a_field_is_not_kept_in_memory() -> None:
    ask(SCORE, letter())
    usual = _jumbled.cache_info().currsize
    assert "HEADER_NAMES_ODD" not in symbols(ask(SCORE, b"X" + b"qzrtplmk" * 5_000 + b": 1\r\n" + letter()))
    assert _jumbled.cache_info().currsize == usual
    assert "HEADER_NAMES_ODD" in symbols(ask(SCORE, b"Xqzrtplmk: 1\r\n" + letter()))


@pytest.mark.parametrize("first", ["\0\n\0", "\n", "\0"])
def test_nothing_in_front_of_a_text_hides_that_the_page_says_something_else(first: str) -> None:
    plain, page = (" ".join(f"{word}{n}x" for n in range(40)) for word in ("alpha", "beta"))
    assert "PARTS_DIFFER" in found({"raw": both(first + plain, document(page))})


@pytest.mark.parametrize(("words", "differ"), [(20, False), (21, True)])
def test_texts_of_few_words_say_nothing_else(words: int, differ: bool) -> None:
    few, many = (" ".join(f"{word}{n}x" for n in range(count)) for word, count in (("alpha", words), ("beta", 40)))
    for plain, page in ((few, many), (many, few)):
        assert ("PARTS_DIFFER" in found({"raw": both(plain, f"<p>{page}</p>")})) is differ


def test_every_symbol_has_its_pair() -> None:
    assert PAIRS.keys() == KNOWN.keys()


@pytest.mark.parametrize("symbol", PAIRS)
def test_a_symbol_is_found_in_its_mail_and_not_in_the_twin(symbol: str) -> None:
    shows, twin = PAIRS[symbol]
    assert symbol in found(shows)
    assert symbol not in found(twin)


def test_a_finding_says_what_it_found_and_what_it_counts() -> None:
    (one,) = [one for one in ask(SCORE, letter(**link("http://b.test:81/x"))) if one.symbol == "LINK_PORT"]
    assert one.category is Category.SCORE
    assert one.score == KNOWN["LINK_PORT"]["weight"]
    assert (one.reason, one.seen) == ("a link to an unusual port", "http://b.test:81/x")


def test_an_answer_that_its_domain_disowns_has_no_merit() -> None:
    answer = letter(Subject="Re: Tomorrow", In_Reply_To="<1@ours.test>")
    assert "REPLY_THREADED" in symbols(ask(SCORE, answer, auth=auth()))
    assert "REPLY_THREADED" not in symbols(ask(SCORE, answer, auth=auth(Result.SOFTFAIL, Result.FAIL)))


# What the administrator may change.


def test_weights_are_set_and_symbols_turned_off_by_a_setting() -> None:
    made = make("score", weights={"LINK_PORT": 7.5, "HTML_ONLY": 0})
    said = {one.symbol: one.score for one in ask(made, letter(**link("http://b.test:81/x")))}
    assert said == {"TEXT_SHORT_LINK": KNOWN["TEXT_SHORT_LINK"]["weight"], "LINK_PORT": 7.5}


def test_a_file_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[symbols.OUR_RIVAL]\nweight = 2.5\nabout = "speaks of Acme"\npatterns = ["\\\\bacme\\\\b"]\n'
        '[symbols.SAYS_CLICK]\nweight = 0\n[lists]\nshorteners = ["our.example"]\n'
    )
    made = make("score", file=str(own))
    assert symbols(ask(made, letter(**says("Buy ACME. Click here.")))) == ["OUR_RIVAL"]
    assert "LINK_SHORTENED" in symbols(ask(made, letter(**link("https://our.example/x"))))
    assert "LINK_SHORTENED" not in symbols(ask(made, letter(**link("https://bit.ly/x"))))


def test_a_symbol_of_others_names_them_and_falls_with_them() -> None:
    mail = letter(**lure("https://bit.ly/x"))
    (one,) = [each for each in ask(SCORE, mail) if each.symbol == "LURE_HIDDEN_TARGET"]
    assert one.seen == "SAYS_ACCOUNT and LINK_SHORTENED"
    for part in ("SAYS_ACCOUNT", "LINK_SHORTENED"):
        assert "LURE_HIDDEN_TARGET" not in symbols(ask(make("score", weights={part: 0}), mail))


def test_a_symbol_of_others_may_be_of_one_that_stands_before_it_and_of_none_behind(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    rows = {
        "EARLY": [["LATE"]],
        "A": [["LINK_PORT"], ["TEXT_SHORT_LINK"]],
        "B": [["A", "NO"], ["LINK_PORT", "LINK_IP"]],
    }
    rows |= {"C": [["B"]], "NO": [[]], "NEITHER": [["A"], ["LINK_IP"]], "LATE": [["C"]]}
    own.write_text(
        "".join(f'[symbols.{name}]\nweight = 1\nabout = "x"\ntogether = {row}\n' for name, row in rows.items())
    )
    found = ask(make("score", file=str(own)), letter(**link("http://b.test:81/x")))
    assert [(one.symbol, one.seen) for one in found if one.symbol in rows] == [
        ("A", "LINK_PORT and TEXT_SHORT_LINK"),
        ("B", "A and LINK_PORT"),
        ("C", "B"),
        ("LATE", "C"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[symbols", r"filters.score.file: .* can't be read: "),
        ('[symbols.X]\nabout = "x"', r"filters.score.file: Object missing required field `weight` - at `\$.symbols"),
        ('[symbols.X]\nweight = 1\nabout = "x"\npatterns = ["("]', "filters.score.file: symbols.X.patterns: missing"),
        ('[symbols.X]\nweight = 1\nabout = "x"\nlike = "Y"', "filters.score.file: there is no symbol Y"),
        (
            '[symbols.X]\nweight = 1\nabout = "x"\ntogether = [["LINK_IP"], ["Y"]]',
            "filters.score.file: symbols.X.together: there is no symbol Y",
        ),
        (
            '[symbols.X]\nweight = 1\nabout = "x"\nwhere = "subjct"',
            r"filters.score.file: Invalid enum value 'subjct' .*; there are .*subject",
        ),
        ("[other]\nx = 1", r"filters.score.file: Object contains unknown field `other`"),
    ],
)
def test_a_bad_file_stops_the_start_in_words_that_name_the_fault(tmp_path: Path, text: str, said: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(text)
    with pytest.raises(SettingsError, match=said):
        make("score", file=str(own))


def test_a_weight_of_no_symbol_and_a_file_that_is_not_there_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"filters.score.weights.NO_SUCH: there is no such symbol"):
        make("score", weights={"NO_SUCH": 1.0})
    with pytest.raises(SettingsError, match=r"filters.score.file: /no/such can't be read"):
        make("score", file="/no/such")


# Whatever comes.

PIECES = st.sampled_from(
    b"From: |\r\n|<|>|=?utf-8?B?|?=|@|Received: from x (y [|]) by z; |<a href=|\xff|&#65;|-->|Date: |%| |http://xn--"
    b"|<p style=|color:#|Content-Type: text/html\r\n\r\n".split(b"|")
)


@given(st.lists(PIECES | st.binary(max_size=12), max_size=40).map(b"".join))
@settings(max_examples=examples(120), deadline=None)
def test_no_exception_escapes_whatever_the_octets(data: bytes) -> None:
    for one in ask(SCORE, data):
        assert one.symbol in KNOWN
    assert len(ask(ADVERT, data)) <= 1


@given(st.lists(PIECES | st.binary(max_size=12), max_size=40).map(b"".join))
@settings(max_examples=examples(120), deadline=None)
def test_any_page_is_looked_at(data: bytes) -> None:
    assert look(data).hidden >= 0
