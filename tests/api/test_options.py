"""Options: their scopes and inheritance, who may set them, secrets, and the contract's examples."""

from pathlib import Path
from typing import Any

import pytest
from tests.api.house import Api
from tests.api.replay import Replay

from gatepost.model.access import Grant, Level
from gatepost.model.options import DEFINITIONS, Definition, OptionType, OptionValue, Scope
from gatepost.model.query import All, Query
from gatepost.model.tenant import Domain, User
from gatepost.services.options import Options

pytestmark = pytest.mark.anyio

EVERYWHERE = frozenset(Scope)
KNOWN = {
    "APP_URL": DEFINITIONS["APP_URL"],
    "DOMAIN_OPTION_EXAMPLE": Definition(
        name="DOMAIN_OPTION_EXAMPLE",
        type=OptionType.STRING,
        scopes=frozenset({Scope.PLATFORM, Scope.DOMAIN}),
        default="value_by_default",
    ),
    "DOMAIN_ADMIN": DEFINITIONS["DOMAIN_ADMIN"],
    "USER_OPTION_EXAMPLE": Definition(
        name="USER_OPTION_EXAMPLE",
        type=OptionType.STRING,
        scopes=frozenset({Scope.PLATFORM, Scope.USER}),
        default="0",
    ),
}


class Tree:
    """One tenant of each scope, and where the options of each lie."""

    def __init__(self, api: Api, domain: Any, user: Any) -> None:
        self.api = api
        self.domain = api.ids.read(domain["id"])
        self.user = api.ids.read(user["id"])
        customer = domain["customer"]
        self.paths = {
            Scope.PLATFORM: "/platform/options",
            Scope.URL: f"/brokers/{customer['brokerId']}/options",
            Scope.CUSTOMER: f"/customers/{customer['id']}/options",
            Scope.DOMAIN: f"/domains/{domain['id']}/options",
            Scope.USER: f"/users/{user['id']}/options",
        }

    async def put(self, scope: Scope, name: str, value: str, **more: Any) -> Any:
        return await self.api.make(self.paths[scope], {"name": name, "value": value}, **more)

    async def drop(self, scope: Scope, name: str) -> None:
        answer = await self.api.ask("DELETE", f"{self.paths[scope]}/{name}")
        assert answer.status_code == 204 and answer.content == b""

    async def seen(self, scope: Scope, name: str) -> tuple[str | None, str | None]:
        items = {each["option"]["name"]: each for each in await self.api.get(self.paths[scope])}
        return items[name]["value"], items[name]["parentValue"]


async def tree(api: Api, *definitions: Definition) -> Tree:
    """Make a domain and a user; with definitions these are all the options that there are."""
    if definitions:
        api.counter.add(Options(api.store, {each.name: each for each in definitions}))
    domain = await api.domain("targaryen.net")
    return Tree(api, domain, await api.user("daenerys@targaryen.net", domain["id"]))


def option(kind: OptionType = OptionType.STRING, **more: Any) -> Definition:
    return Definition(**{"name": "X", "type": kind, "scopes": EVERYWHERE, **more})


async def refused(tree: Tree, scope: Scope, body: Any, **more: Any) -> tuple[int, str | None]:
    answer = await tree.api.ask("POST", tree.paths[scope], body, **more)
    return answer.status_code, answer.json().get("pointer")


# Inheritance.


async def test_each_scope_inherits_from_the_one_above(api: Api) -> None:
    made = await tree(api, option(default="default"))
    assert [await made.seen(scope, "X") for scope in Scope] == [(None, "default")] * 5
    for scope in Scope:
        answer = await made.put(scope, "X", scope.value)
        assert answer["value"] == scope.value
    shown = [await made.seen(scope, "X") for scope in Scope]
    assert shown == [
        ("PLATFORM", "default"),
        ("URL", "PLATFORM"),
        ("CUSTOMER", "URL"),
        ("DOMAIN", "CUSTOMER"),
        ("USER", "DOMAIN"),
    ]
    for scope in (Scope.DOMAIN, Scope.URL, Scope.CUSTOMER):
        await made.drop(scope, "X")
    assert await made.seen(Scope.USER, "X") == ("USER", "PLATFORM")
    assert await made.seen(Scope.DOMAIN, "X") == (None, "PLATFORM")
    await made.drop(Scope.PLATFORM, "X")
    assert await made.seen(Scope.USER, "X") == ("USER", "default")


async def test_a_value_set_again_replaces_the_old_one(api: Api) -> None:
    made = await tree(api, option())
    await made.put(Scope.DOMAIN, "X", "one")
    await made.put(Scope.DOMAIN, "X", "two")
    assert await made.seen(Scope.DOMAIN, "X") == ("two", None)
    assert len(rows(api)) == 1


async def test_deleting_what_is_not_set_changes_nothing(api: Api) -> None:
    made = await tree(api, option())
    await made.drop(Scope.USER, "X")
    assert await made.seen(Scope.USER, "X") == (None, None)


async def test_one_tenant_s_value_is_not_another_s(api: Api) -> None:
    made = await tree(api, option())
    other = await api.domain("lannister.net")
    await made.put(Scope.DOMAIN, "X", "fire")
    (shown,) = await api.get(f"/domains/{other['id']}/options")
    assert shown["value"] is shown["parentValue"] is None


async def test_a_value_that_its_scope_no_longer_takes_is_passed_over(api: Api) -> None:
    made = await tree(api, option(default="default"))
    await made.put(Scope.CUSTOMER, "X", "old")
    api.counter.add(Options(api.store, {"X": option(default="default", scopes=EVERYWHERE - {Scope.CUSTOMER})}))
    assert await made.seen(Scope.DOMAIN, "X") == (None, "default")


async def test_an_empty_text_is_a_value(api: Api) -> None:
    made = await tree(api, option(default="default"))
    await made.put(Scope.DOMAIN, "X", "")
    assert await made.seen(Scope.USER, "X") == (None, "")


# What the product reads.


async def test_the_product_reads_the_nearest_value(api: Api) -> None:
    made = await tree(api)
    options, reader = api.counter.of(Options), api.store.reader
    user, domain = reader.get(User, made.user), reader.get(Domain, made.domain)
    assert options.value(reader, "LANGUAGE", user) == "EN"
    assert options.value(reader, "APP_URL", user) is options.value(reader, "APP_URL") is None
    await made.put(Scope.PLATFORM, "LANGUAGE", "DE")
    await made.put(Scope.CUSTOMER, "LANGUAGE", "DA")
    await made.put(Scope.CUSTOMER, "APP_URL", "Protect.Targaryen.net:8443")
    assert options.value(reader, "LANGUAGE", user) == options.value(reader, "LANGUAGE", domain) == "DA"
    assert options.value(reader, "LANGUAGE") == "DE"
    assert options.value(reader, "APP_URL", user) == "protect.targaryen.net:8443"
    with pytest.raises(KeyError):
        options.value(reader, "NO_SUCH_OPTION")


# Secrets.


@pytest.mark.parametrize(
    ("kind", "value"), [(OptionType.PASSWORD, "Dracarys99"), (OptionType.CREDENTIALS, "d:Dracarys99")]
)
async def test_secrets_are_sealed_and_never_shown_contract_a17(
    api: Api, kind: OptionType, value: str, tmp_path: Path
) -> None:
    made = await tree(api, option(kind))
    answer = await made.put(Scope.CUSTOMER, "X", value)
    assert answer["value"] is None
    assert await made.seen(Scope.CUSTOMER, "X") == await made.seen(Scope.DOMAIN, "X") == (None, None)
    reader = api.store.reader
    assert api.counter.of(Options).value(reader, "X", reader.get(User, made.user)) == value
    await api.store.close()
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert b"Dracarys99" not in path.read_bytes()


# Refusals.


async def test_a_value_that_does_not_fit_its_type_is_refused_at_its_member(api: Api) -> None:
    made = await tree(api)
    for value in ("no address", "", 1, None, ["a@b.test"]):
        assert await refused(made, Scope.DOMAIN, {"name": "DOMAIN_ADMIN", "value": value}) == (400, "/value")
    assert await refused(made, Scope.DOMAIN, {"value": "a@b.test"}) == (400, "/name")
    assert await refused(made, Scope.DOMAIN, {"name": "LANGUAGE", "value": "KLINGON"}) == (400, "/value")
    assert rows(api) == []


async def test_unknown_options_and_other_scopes_are_refused(api: Api) -> None:
    made = await tree(api)
    assert await refused(made, Scope.DOMAIN, {"name": "NO_SUCH", "value": "x"}) == (422, "/name")
    assert await refused(made, Scope.USER, {"name": "DOMAIN_ADMIN", "value": "a@b.test"}) == (422, "/name")
    for path in (f"{made.paths[Scope.USER]}/DOMAIN_ADMIN", f"{made.paths[Scope.DOMAIN]}/NO_SUCH"):
        assert (await api.ask("DELETE", path)).status_code == 404


@pytest.mark.parametrize(
    "path", ["/domains/none/options", "/users/none/options", "/customers/x/options", "/brokers/x/options"]
)
async def test_options_of_what_is_not_there(api: Api, path: str) -> None:
    assert (await api.ask("GET", path)).status_code == 404
    assert (await api.ask("POST", path, {"name": "LANGUAGE", "value": "DE"})).status_code == 404
    assert (await api.ask("DELETE", f"{path}/LANGUAGE")).status_code == 404


async def test_strangers_neither_see_nor_set(api: Api) -> None:
    made = await tree(api)
    stranger = await api.token_of(user_id=int(made.user))
    for scope in (Scope.PLATFORM, Scope.URL, Scope.CUSTOMER, Scope.DOMAIN):
        assert (await api.ask("GET", made.paths[scope], token=stranger)).status_code == 403
        assert (await refused(made, scope, {"name": "LANGUAGE", "value": "DE"}, token=stranger))[0] == 403
        assert (await api.ask("DELETE", f"{made.paths[scope]}/LANGUAGE", token=stranger)).status_code == 403
    assert (await api.ask("GET", "/options", token=None)).status_code == 401


async def test_an_administrator_sets_what_is_not_restricted_at_his_node(api: Api) -> None:
    made = await tree(api)
    admin = await api.admin("tyrion")
    held = Grant(
        admin_id=admin.id, level=Level.DOMAIN, node_id=made.domain, permissions=["OPTIONS_READ", "OPTIONS_WRITE"]
    )
    await api.store.write(lambda writer: writer.add(held))
    his = await api.token_of(admin_id=admin.id)
    await made.put(Scope.DOMAIN, "DOMAIN_ADMIN", "tyrion@targaryen.net", token=his)
    await made.put(Scope.USER, "TIMEZONE", "Europe/Paris", token=his)
    assert (await refused(made, Scope.DOMAIN, {"name": "APP_URL", "value": "his.test"}, token=his))[0] == 403
    assert (await refused(made, Scope.CUSTOMER, {"name": "LANGUAGE", "value": "DE"}, token=his))[0] == 403
    await made.put(Scope.DOMAIN, "APP_URL", "ours.test")
    for name, status in (("APP_URL", 403), ("DOMAIN_ADMIN", 204)):
        answer = await api.ask("DELETE", f"{made.paths[Scope.DOMAIN]}/{name}", token=his)
        assert answer.status_code == status
    assert (await api.ask("GET", "/options", token=his)).status_code == 200


async def test_a_user_sets_his_own_where_his_domain_lets_him(api: Api) -> None:
    made = await tree(api)
    own = await api.token_of(user_id=int(made.user))
    assert (await refused(made, Scope.USER, {"name": "TIMEZONE", "value": "UTC"}, token=own))[0] == 403
    granted = ["OPTIONS_READ", "OPTIONS_WRITE"]
    await api.store.write(lambda writer: writer.change(Domain, made.domain, user_permissions=granted))
    await made.put(Scope.USER, "TIMEZONE", "Europe/Oslo", token=own)
    assert (await api.ask("GET", made.paths[Scope.USER], token=own)).json()[0]["value"] == "Europe/Oslo"
    assert (await api.ask("GET", made.paths[Scope.DOMAIN], token=own)).status_code == 403


# The list of options.


async def test_the_options_that_there_are_contract_a62(api: Api) -> None:
    shown = await api.get("/options")
    assert [each["name"] for each in shown] == list(DEFINITIONS)
    assert shown[0] == {
        **{"ptfScope": True, "urlScope": False, "customerScope": True, "domainScope": True, "userScope": False},
        **{"restricted": True, "group": None, "name": "APP_URL", "type": "HOST", "values": None, "description": None},
    }
    assert all(each["description"] for each in shown[2:])


async def test_a_scope_lists_the_options_that_it_takes(api: Api) -> None:
    made = await tree(api)
    for scope, path in made.paths.items():
        answer = await api.ask("GET", path)
        names = [each["option"]["name"] for each in answer.json()]
        assert names == [each.name for each in DEFINITIONS.values() if scope in each.scopes]
        assert answer.headers["X-Total-Count"] == str(len(names))


# What is set for a tenant goes with it.


async def test_values_go_with_their_owner(api: Api) -> None:
    made = await tree(api, option())
    for scope in Scope:
        await made.put(scope, "X", "x")
    assert (await api.ask("DELETE", made.paths[Scope.USER].removesuffix("/options"))).status_code == 204
    assert {row.scope for row in rows(api)} == set(Scope) - {Scope.USER}
    assert (await api.ask("DELETE", made.paths[Scope.DOMAIN].removesuffix("/options"))).status_code == 204
    assert {row.scope for row in rows(api)} == set(Scope) - {Scope.USER}
    api.clock.now += 31 * 86_400_000
    while (await api.store.write(lambda writer: writer.purge(api.clock()))).more:
        pass
    assert {row.scope for row in rows(api)} == {Scope.PLATFORM, Scope.URL, Scope.CUSTOMER}


def rows(api: Api) -> list[OptionValue]:
    return api.store.reader.find(OptionValue, Query(where=All(()))).items


# The contract's examples.


async def replayed(api: Api) -> tuple[Tree, Replay]:
    made = await tree(api, *KNOWN.values())
    return made, Replay(
        api, {"domain": {"Eygdk": api.ids.show(made.domain)}, "user": {"By46n": api.ids.show(made.user)}}
    )


async def test_the_domain_examples(api: Api) -> None:
    made, replay = await replayed(api)
    await made.put(Scope.PLATFORM, "APP_URL", "protect.winterfell.net")
    await made.put(Scope.DOMAIN, "DOMAIN_OPTION_EXAMPLE", "domain_value")
    await made.put(Scope.PLATFORM, "DOMAIN_ADMIN", "noreply@cleanmail.eu")
    await made.put(Scope.DOMAIN, "DOMAIN_ADMIN", "reporter@targaryen.net")
    await replay.run("listDomainOptions")
    await replay.run("deleteDomainOption")
    assert await made.seen(Scope.DOMAIN, "DOMAIN_ADMIN") == (None, "noreply@cleanmail.eu")
    await made.put(Scope.PLATFORM, "DOMAIN_ADMIN", "support@cleanmail.tld")
    await replay.run("setDomainOption")
    assert await made.seen(Scope.DOMAIN, "DOMAIN_ADMIN") == ("admin@targaryen.net", "support@cleanmail.tld")


async def test_the_user_examples(api: Api) -> None:
    made, replay = await replayed(api)
    await replay.run("setUserOption")
    await replay.run("listUserOptions")
    await replay.run("deleteUserOption")
    assert await made.seen(Scope.USER, "USER_OPTION_EXAMPLE") == (None, "0")
