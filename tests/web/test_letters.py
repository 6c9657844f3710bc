"""The mails of tasks and notifications: received by a real next hop, read, their links followed to the end."""

from pathlib import Path

import pytest
from tests.api.house import CHEAP
from tests.api.replay import Replay
from tests.web.browser import SECRET, Place, link_of, opened, text_of, token_in

from gatepost.model.access import Admin
from gatepost.model.policy import Policy
from gatepost.model.query import eq
from gatepost.model.route import Platform
from gatepost.model.tenant import Domain, Language, User, UserStatus
from gatepost.services.recovery import Recovery

pytestmark = pytest.mark.anyio

HOUR = 3_600_000


def bob(place: Place) -> User:
    user = place.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert user
    return user


async def test_the_contracts_example_sends_a_welcome_mail(place: Place) -> None:
    await place.house.domain("lannister.net", hop=("127.0.0.1", place.house.sink.port))
    await place.house.user("cersei@lannister.net", firstname="Cersei", lastname="Lannister")
    await Replay(place.api).run("executeTask")
    mail = await place.mail()
    assert mail["To"] == "Cersei Lannister <cersei@lannister.net>"
    assert mail["Subject"] == "Welcome to Gatepost"
    assert (mail["From"], mail["Auto-Submitted"]) == ("postmaster@gate.example", "auto-generated")
    assert "Hello Cersei Lannister," in text_of(mail) and "cersei@lannister.net" in text_of(mail, "html")


@pytest.mark.parametrize("command", ["send_welcome_mail", "send_password_reset_mail"])
async def test_a_password_is_set_by_a_mailed_link_and_signs_in(place: Place, command: str) -> None:
    answer = await place.run(command)
    assert (answer.status_code, answer.content) == (202, b"")
    link = await place.link()
    assert link.startswith("https://gate.example/password?token=")
    browser = place.browser()
    assert (await browser.open(link)).status_code == 200
    assert "bob@served.example" in browser.said
    assert (await browser.submit(password=SECRET, again=SECRET)).status_code == 200
    assert browser.said == "Your password is set."
    reset, task, *_ = await place.api.get("/audit")
    assert (reset["act"], reset["login"]) == ("change", "bob@served.example")
    assert reset["after"] == {"passwordHash": "***"} and reset["ip"] and reset["requestId"]
    assert (task["act"], task["login"], task["name"]) == (command, "admin", "bob@served.example")
    assert (await place.sign_in(SECRET)).status_code == 200
    assert (await browser.open(link)).status_code == 404


async def test_a_token_mail_signs_in_at_the_page(place: Place) -> None:
    assert (await place.run("send_token_mail", validity=2)).status_code == 202
    mail = await place.mail()
    assert mail["Subject"] == "Your sign-in link for Gatepost"
    browser = place.browser()
    assert (await browser.open(link_of(mail))).status_code == 200
    assert (await browser.submit()).status_code == 200
    assert browser.said == "You are signed in You are signed in as bob@served.example. Sign out"


@pytest.mark.parametrize(
    ("command", "params", "hours"),
    [
        ("send_welcome_mail", {}, 168),
        ("send_token_mail", {}, 24),
        ("send_token_mail", {"validity": 1}, 1),
        ("send_token_mail", {"validity": None}, 24),
        ("send_password_reset_mail", {}, 6),
        ("send_password_reset_mail", {"validity": 168}, 168),
    ],
)
async def test_a_link_works_for_its_hours(place: Place, command: str, params: dict[str, int], hours: int) -> None:
    await place.run(command, **params)
    link = await place.link()
    place.house.clock.now += hours * HOUR - 1
    assert (await place.browser().open(link)).status_code == 200
    place.house.clock.now += 1
    assert (await place.browser().open(link)).status_code == 404


WORDS = {
    Language.FR: ("Bienvenue sur Gatepost", "Le lien est valable"),
    Language.EN: ("Welcome to Gatepost", "The link works once"),
    Language.DE: ("Willkommen bei Gatepost", "Der Link gilt einmal"),
    Language.ES: ("Le damos la bienvenida a Gatepost", "El enlace sirve"),
    Language.DA: ("Velkommen til Gatepost", "Linket virker"),
    Language.NB: ("Velkommen til Gatepost", "Lenken virker"),
}


@pytest.mark.parametrize("language", list(Language))
async def test_a_mail_speaks_its_recipients_language(place: Place, language: Language) -> None:
    await place.house.store.write(lambda writer: writer.change(User, bob(place).id, language=language))
    await place.run("send_welcome_mail")
    mail = await place.mail()
    subject, words = WORDS[language]
    assert mail["Subject"] == subject
    assert words in text_of(mail) and words in text_of(mail, "html")
    assert f'lang="{language.lower()}"' in text_of(mail, "html")
    browser = place.browser()
    assert f'lang="{language.lower()}"' in (await browser.open(link_of(mail))).text
    assert f'lang="{language.lower()}"' in (await browser.submit(password=SECRET, again=SECRET)).text


async def test_options_give_sender_names_address_and_zone(place: Place) -> None:
    domain = place.api.ids.show(bob(place).domain_id)
    options = {
        "APP_URL": "mail.served.example:8443",
        "NOTIFICATION_SENDER": "noreply@served.example",
        "NOTIFICATION_NAME": "The guard",
        "PRODUCT_NAME": "Served <Mail>",
        "DOMAIN_ADMIN": "help@served.example",
        "TIMEZONE": "Asia/Tokyo",
    }
    for name, value in options.items():
        await place.api.make(f"/domains/{domain}/options", {"name": name, "value": value})
    await place.run("send_token_mail")
    mail = await place.mail()
    assert mail["From"] == "The guard <noreply@served.example>"
    assert mail["Reply-To"] == "help@served.example"
    assert mail["Subject"] == "Your sign-in link for Served <Mail>"
    assert "Served &lt;Mail&gt;" in text_of(mail, "html") and "<Mail>" not in text_of(mail, "html")
    assert link_of(mail).startswith("https://mail.served.example:8443/signin?token=")
    assert "+0900" in text_of(mail)


async def test_a_deployment_replaces_templates_by_files_of_their_name(tmp_path: Path) -> None:
    folder = tmp_path / "templates"
    (folder / "mail").mkdir(parents=True)
    (folder / "mail/signin.txt").write_text("Come in, {{ login }}\n\n{{ link }}\n{{ until }} {{ hours }} {{ name }}\n")
    (folder / "mail/signin.html").write_text('<a href="{{ link }}">{{ product }}</a>')
    (folder / "mail/welcome.txt").write_text("{{ nothing }}")
    async with opened(tmp_path, notices={"templates": str(folder)}) as place:
        await place.run("send_token_mail")
        mail = await place.mail()
        assert mail["Subject"] == "Come in, bob@served.example"
        assert token_in(link_of(mail))
        assert (await place.run("send_welcome_mail")).status_code == 503
        await place.run("send_password_reset_mail")
        assert (await place.mail())["Subject"] == "Set a new password for Gatepost"


# What is refused.


UNFIT: list[tuple[object, int, str]] = [
    ({}, 400, "/command"),
    ({"command": "send_welcome_mail"}, 400, "/params"),
    ({"command": "rm", "params": {}}, 400, "/command"),
    ({"command": 1, "params": {}}, 400, "/command"),
    ({"command": "send_welcome_mail", "params": {}}, 400, "/params/recipient"),
    ({"command": "send_welcome_mail", "params": {"recipient": 1}}, 400, "/params/recipient"),
    ({"command": "send_welcome_mail", "params": {"recipient": "a\r\nBcc: b"}}, 400, "/params/recipient"),
    ({"command": "send_token_mail", "params": {"recipient": "x@y.z", "validity": 0}}, 400, "/params/validity"),
    ({"command": "send_token_mail", "params": {"recipient": "x@y.z", "validity": 169}}, 400, "/params/validity"),
    ({"command": "send_token_mail", "params": {"recipient": "x@y.z", "validity": "1"}}, 400, "/params/validity"),
    ({"command": "send_welcome_mail", "params": {"recipient": "nobody"}}, 422, "/params/recipient"),
    ({"command": "send_welcome_mail", "params": {"recipient": "no@served.example"}}, 422, "/params/recipient"),
    ({"command": "send_spamfight_spam_mail", "params": {}}, 400, "/params/recipient"),
    (
        {
            "command": "send_spamfight_clean_mail",
            "params": {"recipient": "bob@served.example", "folder": "INBOX", "id": "0" * 32},
        },
        422,
        "/params",
    ),
    ({"command": "remediate_message", "params": {}}, 422, "/command"),
]


async def test_a_task_is_checked_before_it_is_accepted(place: Place) -> None:
    for body, status, pointer in UNFIT:
        answer = await place.api.ask("POST", "/tasks", body)
        assert (answer.status_code, answer.json().get("pointer")) == (status, pointer), (body, answer.text)


async def test_no_mail_goes_to_an_account_that_is_not_fit_for_it(place: Place) -> None:
    store, user = place.house.store, bob(place)
    domain = store.reader.get(Domain, user.domain_id)
    platform = store.reader.first(Platform, eq("domain_id", user.domain_id))
    assert domain and platform
    services = {"quarantine": False, "retention": False, "archive": False}
    await store.write(lambda writer: writer.change(Policy, domain.policy_id, **services))
    assert (await place.run("send_token_mail")).status_code == 422
    await store.write(lambda writer: writer.change(Platform, platform.id, auth_type="ldap"))
    assert (await place.run("send_password_reset_mail")).status_code == 422
    assert (await place.run("send_welcome_mail")).status_code == 202
    text = text_of(await place.mail())
    assert "https:" not in text and "the password of your mailbox" in text
    await store.write(lambda writer: writer.change(User, user.id, status=UserStatus.DISABLED))
    for command in ("send_welcome_mail", "send_token_mail", "send_password_reset_mail"):
        assert (await place.run(command)).status_code == 422


async def test_who_may_not_is_told_nothing(place: Place) -> None:
    admin = await place.api.admin("arya")
    token = await place.api.token_of(admin_id=admin.id)
    answers = set()
    for recipient in ("bob@served.example", "no@served.example", "x"):
        for command in ("send_welcome_mail", "send_token_mail", "send_password_reset_mail", "remediate_message"):
            body = {"command": command, "params": {"recipient": recipient}}
            answer = await place.api.ask("POST", "/tasks", body, token=token)
            answers.add((answer.status_code, answer.content))
    assert len(answers) == 1 and answers.pop()[0] == 403


# Notifications of accounts.


@pytest.mark.parametrize("way", ["create", "update"])
async def test_an_account_is_told_of_itself_where_that_is_asked_for(place: Place, way: str) -> None:
    domain = place.api.ids.show(bob(place).domain_id)
    told = {"sendNotification": True}
    made = await place.api.user("eve@served.example", domain, language="DE", **(told if way == "create" else {}))
    if way == "update":
        await place.api.change(f"/users/{made['id']}", told)
    mail = await place.mail()
    assert (mail["To"], mail["Subject"]) == ("eve@served.example", "Willkommen bei Gatepost")
    browser = place.browser()
    await browser.open(link_of(mail))
    await browser.submit(password=SECRET, again=SECRET)
    assert (await place.sign_in(SECRET, "eve@served.example")).status_code == 200


async def test_an_account_is_made_though_no_mail_reaches_it(place: Place) -> None:
    made = await place.house.domain("off.example", hop=("127.0.0.1", 1))
    policy = {"incoming": False}
    await place.house.store.write(lambda writer: writer.change(Policy, made.policy_id, **policy))
    user = await place.api.user("eve@off.example", place.api.ids.show(made.id), sendNotification=True)
    assert (await place.api.get(f"/users/{user['id']}"))["email"] == "eve@off.example"


# Forgotten passwords.


async def ask(place: Place, login: str, ip: str = "192.0.2.1") -> int:
    answer = await place.api.ask("POST", "/password-resets", {"login": login}, token=None, ip=ip)
    assert answer.content == b"" or answer.status_code == 429
    await place.house.gatepost.services.of(Recovery).settle()
    return answer.status_code


async def test_a_forgotten_password_is_set_anew_by_a_link_that_works_once(place: Place) -> None:
    assert await ask(place, "Bob@Served.example") == 202
    token = token_in(await place.link())
    reset = {"token": token, "password": SECRET}
    assert (await place.api.ask("POST", "/password-resets/confirm", reset, token=None)).status_code == 204
    assert (await place.sign_in(SECRET)).status_code == 200
    assert (await place.api.ask("POST", "/password-resets/confirm", reset, token=None)).status_code == 404


async def test_an_administrator_gets_the_link_at_his_address(place: Place) -> None:
    row = await place.api.admin("arya", email="arya@served.example", password_hash=CHEAP.hash("old secret"))
    await place.house.user("arya@served.example")
    assert await ask(place, "arya") == 202
    mail = await place.mail()
    assert mail["To"] == "arya@served.example"
    reset = {"token": token_in(link_of(mail)), "password": SECRET}
    assert (await place.api.ask("POST", "/password-resets/confirm", reset, token=None)).status_code == 204
    stored = place.house.store.reader.get(Admin, row.id)
    assert stored and stored.password_hash and CHEAP.verify(stored.password_hash, SECRET)


async def test_strangers_learn_nothing_and_flood_nobody(place: Place) -> None:
    for login in ("bob@served.example", "no@served.example", "admin", "\0", "bob@served.example"):
        assert await ask(place, login) == 202
    await place.mail()
    await place.house.gatepost.queue.idle()
    assert len(place.house.sink.mails) == 1
    for _ in range(5):
        assert await ask(place, "no@served.example") == 202
    assert await ask(place, "bob@served.example") == 429
    place.house.clock.now += 300_000
    assert await ask(place, "bob@served.example") == 202
    assert await place.link()


async def test_a_reset_link_ends_with_the_password_that_it_was_made_for(place: Place) -> None:
    await place.run("send_password_reset_mail")
    await place.run("send_password_reset_mail")
    first, second = token_in(await place.link()), token_in(await place.link())
    assert first != second
    reset = {"token": second, "password": SECRET}
    assert (await place.api.ask("POST", "/password-resets/confirm", reset, token=None)).status_code == 204
    reset = {"token": first, "password": "something else"}
    assert (await place.api.ask("POST", "/password-resets/confirm", reset, token=None)).status_code == 404


async def test_a_reset_is_refused_without_using_its_link_up(place: Place) -> None:
    await place.run("send_password_reset_mail")
    reset = {"token": token_in(await place.link()), "password": "short"}
    answer = await place.api.ask("POST", "/password-resets/confirm", reset, token=None)
    assert (answer.status_code, answer.json()["pointer"]) == (422, "/password")
    reset["password"] = SECRET
    assert (await place.api.ask("POST", "/password-resets/confirm", reset, token=None)).status_code == 204


async def test_guessing_links_closes_the_door_threat_112(place: Place) -> None:
    reset = {"token": "x" * 43, "password": SECRET}
    for _ in range(10):
        assert (await place.api.ask("POST", "/password-resets/confirm", reset, token=None)).status_code == 404
    answer = await place.api.ask("POST", "/password-resets/confirm", reset, token=None)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
