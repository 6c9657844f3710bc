"""Adverts: bulk mail that nobody waited for; not discussion, not what a shop owes, not what people write."""

from pathlib import Path
from typing import Any

import pytest
from tests.filters.letters import TEXT, both, document, letter
from tests.filters.mails import ask, make
from tests.filters.test_score import ADVERT, SCORE

from gatepost.filters.symbols import shipped
from gatepost.model.verdict import Category

LEAVE = {"List_Unsubscribe": "<https://news.a.test/u/1>", "List_Unsubscribe_Post": "List-Unsubscribe=One-Click"}
FOOT = "You are receiving this because you subscribed. Unsubscribe or manage your preferences."
SHOP = document(
    '<a href="https://a.test/1"><img src="https://a.test/1.png"></a>' * 4
    + '<a href="https://a.test/2">Shop now</a>' * 4
    + f"<p>{FOOT}</p>"
)
PAGE = document(f"<p>{FOOT}</p>")

ADVERTS: dict[str, dict[str, Any]] = {
    "a newsletter": {"Subject": "Our newsletter", "html": PAGE, **LEAVE},
    "a shop": {"Subject": "30% off everything", "raw": both(TEXT, SHOP), **LEAVE, "Feedback_ID": "1:2:3:sender"},
    "of mailchimp": {"Subject": "Hello", "html": PAGE, "X_MC_User": "1", "List_Unsubscribe": "<mailto:u@a.test>"},
    "bulk by its own word": {"Subject": "Special offer", "Precedence": "bulk", "text": f"{TEXT}{FOOT}"},
    "without a header that says so": {"Subject": "Last chance: summer sale", "html": SHOP},
    "marked in its subject": {"Subject": "ADV: cheap ink"},
    "in French": {
        "Subject": "Soldes : jusqu'à -50 %",
        "text": "Profitez-en. Vous recevez ce message car vous êtes client. Se désinscrire",
        **LEAVE,
    },
    "in German": {
        "Subject": "Gutschein für Sie",
        "text": "Jetzt bestellen. Sie erhalten diese Mail. Abmelden",
        **LEAVE,
    },
    "in Spanish": {"Subject": "Ofertas", "text": "Compra ahora. Recibe este correo. Darse de baja", **LEAVE},
    "in Russian": {"Subject": "=?utf-8?B?0KHQutC40LTQutC4?=", "text": "Купить сейчас. Отписаться", **LEAVE},
    "an announcement list": {"Subject": "News", "List_Id": "<n.a.test>", "List_Post": "NO", "html": PAGE, **LEAVE},
}

CLEAN: dict[str, dict[str, Any]] = {
    "a letter": {},
    "an answer": {"Subject": "Re: 30% off?", "In_Reply_To": "<1@ours.test>", "text": f"{TEXT}> Shop now\r\n> {FOOT}"},
    "a discussion list": {
        "List_Id": "Talk <talk.a.test>",
        "List_Post": "<mailto:talk@a.test>",
        "Precedence": "bulk",
        "text": f"{TEXT}{FOOT}",
        **LEAVE,
    },
    "an older list": {"X_BeenThere": "talk@a.test", "Precedence": "bulk", "Mailing_List": "list talk@a.test", **LEAVE},
    "a notice of a forge": {
        "Subject": "[proj] Fix the build (#12)",
        "List_Id": "<proj.forge.test>",
        "List_Post": "<mailto:reply@forge.test>",
        "Precedence": "list",
        "text": "You are receiving this because you are subscribed to this thread. Unsubscribe",
        **LEAVE,
    },
    "an order": {"Subject": "Your order #4711 has shipped", "html": PAGE, "Feedback_ID": "1:2:3:ses", **LEAVE},
    "an invoice": {"Subject": "Rechnung Nr. 2025-17", "html": PAGE, "Feedback_ID": "1:2:3:ses"},
    "a code": {"Subject": "123456 is your verification code", "html": document(""), "Feedback_ID": "1:2:3:ses"},
    "a password": {"Subject": "Reset your password", "html": PAGE, "X_Mailer": "Mailjet"},
    "a booking": {"Subject": "Booking confirmation", "html": SHOP, "X_SFMC_Stack": "1"},
    "a statement": {"Subject": "Your statement is ready", "html": PAGE, **LEAVE},
    "an appointment": {"Subject": "Votre rendez-vous est confirmé", "html": PAGE, "Precedence": "bulk"},
    "a friend's find": {"Subject": "this sale", "text": f"{TEXT}Shop now: https://shop.test/30 % off!"},
    "out of office": {"Subject": "Out of office", "Precedence": "bulk", "Auto_Submitted": "auto-replied"},
}


@pytest.mark.parametrize("case", ADVERTS)
def test_bulk_mail_is_an_advert(case: str) -> None:
    (finding,) = ask(ADVERT, letter(**ADVERTS[case]))
    assert (finding.category, finding.symbol, finding.score) == (Category.ADVERT, "ADVERT", 0)
    assert finding.reason.startswith("bulk mail, by ")


@pytest.mark.parametrize("case", CLEAN)
def test_what_people_write_and_what_they_wait_for_is_none(case: str) -> None:
    assert ask(ADVERT, letter(**CLEAN[case])) == []


@pytest.mark.parametrize("case", [*CLEAN, *ADVERTS])
def test_neither_is_spam(case: str) -> None:
    points = sum(one.score for one in ask(SCORE, letter(**(CLEAN | ADVERTS)[case])))
    assert points < 4, "well below what the default policy takes for spam"


def test_points_and_weights_are_the_administrators() -> None:
    mail = letter(**ADVERTS["a newsletter"])
    assert ask(make("advert", points=9.0), mail) == []
    assert ask(make("advert", weights={"ADVERT_UNSUBSCRIBE": 0, "ADVERT_SUBJECT": -1.0}), mail) == []
    assert ask(make("advert", weights={"ADVERT_PERSONAL": 5.0}), letter(**CLEAN["an answer"]))


def test_phrases_can_be_added(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[adverts.OURS]\nweight = 3\nabout = "speaks of Acme"\nwhere = "subject"\npatterns = ["acme"]\n')
    assert ask(make("advert", file=str(own)), letter(Subject="Acme"))
    assert not ask(ADVERT, letter(Subject="Acme"))


def test_every_sign_has_a_case() -> None:
    """The cases show all that the table knows, but for what speaks against an advert."""
    findings = [one for case in ADVERTS.values() for one in ask(ADVERT, letter(**case))]
    told = {name for one in findings for name in one.seen.split(", ")}
    assert told | {"ADVERT_PERSONAL", "ADVERT_TRANSACTION"} == shipped()["adverts"].keys()
