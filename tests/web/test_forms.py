"""The pages of links: what a link scanner, another site or a second click can't do; sessions and their cookie."""

from pathlib import Path

import httpx2
import pyotp
import pytest
from tests.api.house import CHEAP
from tests.web.browser import ORIGIN, SECRET, Browser, Place, opened

from gatepost.model.access import Admin, Purpose, Ticket
from gatepost.model.query import All, eq
from gatepost.model.tenant import User, UserStatus

pytestmark = pytest.mark.anyio


async def signin_link(place: Place) -> str:
    assert (await place.run("send_token_mail")).status_code == 202
    return await place.link()


async def signed_in(place: Place) -> Browser:
    browser = place.browser()
    await browser.open(await signin_link(place))
    await browser.submit()
    assert "You are signed in as bob@served.example." in browser.said
    return browser


def bob(place: Place) -> User:
    user = place.house.store.reader.first(User, eq("email", "bob@served.example"))
    assert user
    return user


async def test_looking_at_a_link_uses_nothing_up_threat_140(place: Place) -> None:
    link = await signin_link(place)
    for _ in range(3):
        scanner = place.browser()
        assert (await scanner.open(link)).status_code == 200
        assert (await scanner.client.head(link)).status_code == 200
    browser = place.browser()
    await browser.open(link)
    assert (await browser.submit()).status_code == 200
    assert "You are signed in" in browser.said


async def test_a_link_signs_in_once_and_only_its_own_account(place: Place) -> None:
    link = await signin_link(place)
    first, second = place.browser(), place.browser()
    await first.open(link)
    await second.open(link)
    await first.submit()
    assert (await second.submit()).status_code == 404
    assert second.said == "This link was used already, or holds no longer. Whoever sent it to you can send a new one."
    assert (await second.open("/signin")).status_code == 200
    assert second.said.startswith("Open the link in your mail to sign in. If you have none, whoever looks after")
    assert '<a href="docs">' in second.answer.text
    assert "bob@served.example" in (await first.open("/signin")).text


async def test_each_link_opens_one_thing_alone_threat_117(place: Place) -> None:
    await place.run("send_password_reset_mail")
    password, sign_in = await place.link(), await signin_link(place)
    for link in (password.replace("/password", "/signin"), sign_in.replace("/signin", "/password")):
        assert (await place.browser().open(link)).status_code == 404
    for link in (password, sign_in):
        token = link.partition("=")[2]
        assert (
            await place.api.ask("GET", f"/users/{place.api.ids.show(bob(place).id)}", token=token)
        ).status_code == 401


@pytest.mark.parametrize("page", ["signin", "password"])
async def test_what_is_no_link_of_ours_is_told_in_plain_words(place: Place, page: str) -> None:
    for token in ("", "x", "0" * 43, "%00", "%ff", "a&token=b", "<script>"):
        browser = place.browser()
        answer = await browser.open(f"/{page}?token={token}")
        assert answer.status_code in (200, 404) and "<script" not in answer.text
        assert "form" not in answer.text.replace("format", "")


async def test_pages_carry_a_strict_policy_and_no_script(place: Place) -> None:
    browser = place.browser()
    answer = await browser.open(await signin_link(place))
    policy = dict(each.split(" ", 1) for each in answer.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")
    assert "<script" not in answer.text and " style=" not in answer.text
    assert (await browser.open("/static/pages.css")).headers["content-type"].startswith("text/css")


async def test_the_cookie_is_out_of_reach_and_a_new_one_at_sign_in_threat_139(place: Place) -> None:
    browser = place.browser()
    answer = await browser.open(await signin_link(place))
    first = answer.headers["set-cookie"]
    action, members = browser.form()
    answer = await browser.client.post("/signin", data=members)
    assert (answer.status_code, answer.headers["location"]) == (303, "signin")
    second = answer.headers["set-cookie"]
    for cookie in (first, second):
        name, *attributes = cookie.split("; ")
        assert name.startswith("__Host-gatepost=")
        assert {each.lower() for each in attributes} == {"httponly", "path=/", "samesite=strict", "secure"}
    assert first.split(";")[0] != second.split(";")[0]
    assert action == "signin"


def baked(answer: httpx2.Response) -> tuple[str, set[str]]:
    """The name of the cookie that an answer brings, and its attributes."""
    pair, *attributes = answer.headers["set-cookie"].split("; ")
    return pair.partition("=")[0], {each.lower() for each in attributes}


async def test_over_http_links_lead_on_with_a_cookie_that_comes_back(tmp_path: Path) -> None:
    async with opened(tmp_path, origin="http://gate.example") as place:
        browser = place.browser(origin="http://gate.example")
        await place.run("send_password_reset_mail")
        answer = await browser.open(await place.link())
        assert baked(answer) == ("gatepost", {"httponly", "path=/", "samesite=strict"})
        await browser.submit(password=SECRET, again=SECRET)
        assert (await place.sign_in(SECRET)).status_code == 200
        await browser.open(await signin_link(place))
        await browser.submit()
        assert "You are signed in as bob@served.example." in browser.said
        answer = await browser.submit()
        assert baked(answer) == ("gatepost", {"httponly", "max-age=0", "path=/", "samesite=strict"})
        assert not browser.client.cookies


@pytest.mark.parametrize("origin", [ORIGIN, "HTTPS://gate.example"])
async def test_the_cookie_stays_secure_where_another_ends_tls_before_us(tmp_path: Path, origin: str) -> None:
    async with opened(tmp_path, origin=origin) as place:
        answer = await place.browser(origin="http://gate.example").open("/signin")
    assert answer.url.scheme == "http"
    assert baked(answer) == ("__Host-gatepost", {"httponly", "path=/", "samesite=strict", "secure"})


async def test_a_form_without_its_token_changes_nothing_threat_139(place: Place) -> None:
    link = await signin_link(place)
    browser, other = place.browser(), place.browser()
    await browser.open(link)
    await other.open(link)
    for form in ("", "x", other.form()[1]["form"]):
        assert (await browser.client.post("/signin", data={**browser.form()[1], "form": form})).status_code == 403
    bare = place.browser()
    assert (await bare.client.post("/signin", data=browser.form()[1])).status_code == 403
    assert (await browser.submit()).status_code == 200  # the link was not used up
    assert (await browser.client.post("/signout", data={"form": "x"})).status_code == 403
    assert "You are signed in" in (await browser.open("/signin")).text


async def test_signing_out_ends_the_session_on_the_server_threat_139(place: Place) -> None:
    browser = await signed_in(place)
    cookie = browser.client.cookies["__Host-gatepost"]
    await browser.submit()
    assert browser.said == "You are signed out."
    assert place.house.store.reader.count(Ticket, eq("purpose", Purpose.SESSION)) == 0
    thief = place.browser()
    thief.client.cookies.set("__Host-gatepost", cookie, domain="gate.example")
    await thief.open("/signin")
    assert thief.said.startswith("Open the link in your mail to sign in.")


@pytest.mark.parametrize("end", ["time", "password", "disabled", "deleted"])
async def test_a_session_ends_with_its_hour_its_password_or_its_account(place: Place, end: str) -> None:
    browser, user = await signed_in(place), bob(place)
    mine = f"/users/{place.api.ids.show(user.id)}"
    if end == "time":
        place.house.clock.now += 3_600_000
    elif end == "password":
        await place.api.change(mine, {"password": SECRET})
    elif end == "disabled":
        await place.house.store.write(lambda writer: writer.change(User, user.id, status=UserStatus.DISABLED))
    else:
        assert (await place.api.ask("DELETE", mine)).status_code == 204
    await browser.open("/signin")
    assert browser.said.startswith("Open the link in your mail to sign in.")


async def test_a_second_factor_is_asked_for_at_the_page_too(place: Place) -> None:
    secret = pyotp.random_base32()
    sealed, user = place.house.store.secrets.seal(secret), bob(place)
    change = {"mfa_type": "TOTP", "totp_secret": sealed}
    await place.house.store.write(lambda writer: writer.change(User, user.id, **change))
    browser = place.browser()
    await browser.open(await signin_link(place))
    assert "code" in browser.form()[1]
    for code in ("", "abcdef"):
        assert (await browser.submit(code=code)).status_code == 422
        assert "The code is wrong." in browser.said
    await browser.submit(code=pyotp.TOTP(secret).at(place.house.clock.now // 1000))
    assert "You are signed in as bob@served.example." in browser.said


@pytest.mark.parametrize(
    ("password", "again", "said"),
    [
        (SECRET, "Ghost and I", "The two passwords differ."),
        ("short", "short", "A password has 8 to 1024 characters."),
        ("", "", "A password has 8 to 1024 characters."),
        ("x" * 1025, "x" * 1025, "A password has 8 to 1024 characters."),
    ],
)
async def test_a_password_that_will_not_do_leaves_the_link_as_it_is(
    place: Place, password: str, again: str, said: str
) -> None:
    await place.run("send_password_reset_mail")
    browser = place.browser()
    await browser.open(await place.link())
    assert (await browser.submit(password=password, again=again)).status_code == 422
    assert said in browser.said
    await browser.submit(password=SECRET, again=SECRET)
    assert browser.said == "Your password is set."


async def test_what_is_no_form_is_refused(place: Place) -> None:
    browser = place.browser()
    await browser.open("/signin")
    odd = {b"x" * 20_000: 413, b"\xff\xfe": 400, b"form=%ff": 400, b"&".join([b"a=b"] * 50): 400, b"": 403}
    for path in ("/signin", "/password", "/signout"):
        for body, status in odd.items():
            assert (await browser.client.post(path, content=body)).status_code == status


async def test_guessing_at_the_pages_closes_the_door_threat_112(place: Place) -> None:
    await place.run("send_password_reset_mail")
    browser = place.browser()
    await browser.open(await place.link())
    guess = {**browser.form()[1], "token": "x" * 43, "password": SECRET, "again": SECRET}
    for _ in range(10):
        assert (await browser.client.post("/password", data=guess)).status_code == 404
    answer = await browser.client.post("/password", data=guess)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
    assert (await browser.submit(password=SECRET, again=SECRET)).status_code == 200  # a true link is let in


async def test_values_of_tickets_are_kept_nowhere_and_lapsed_ones_go(place: Place) -> None:
    token = (await signin_link(place)).partition("=")[2]
    place.house.clock.now += 25 * 3_600_000
    await signin_link(place)
    assert place.house.store.reader.count(Ticket, All(())) == 1
    await place.house.gatepost.stop()
    for path in place.house.store.path.rglob("*"):
        if path.is_file() and path.suffix != ".sock":
            assert f'"{token}"'.encode() not in path.read_bytes()


async def test_an_administrator_signs_in_by_the_address_of_his_own_token(place: Place) -> None:
    row = await place.api.admin("arya", password_hash=CHEAP.hash(SECRET))
    session = (await place.sign_in(SECRET, "arya")).json()["token"]
    answer = await place.api.ask("GET", "/token", token=session)
    browser = place.browser()
    await browser.open(answer.json()["url"])
    await browser.submit()
    assert "You are signed in as arya." in browser.said
    await place.house.store.write(lambda writer: writer.change(Admin, row.id, enabled=False))
    await browser.open("/signin")
    assert browser.said.startswith("Open the link in your mail to sign in.")
