"""The API's description can be read: each route has a title, and examples that are valid where they are used."""

import json
import re

import pytest
from jsonschema import Draft202012Validator

from api.http.openapi import TAGS
from ledger.recipients import register_wallet
from tests.support.api_client import key_for, running_api
from tests.support.api_operations import SECRET
from tests.support.chromium import running_chromium
from tests.support.documented_answers import document
from tests.support.ledger_rows import NO_NODE

JSON = "application/json"
TITLE_CHARACTERS_MAX = 60
SETTLEMENT = "4pUQ3C7KQ2zaw2Hx2r4qQD73zyTnj75r46dwcGmRhyik"


def operations():
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


OPERATIONS = [pytest.param(name, operation, id=name) for name, operation in operations()]


def media_of(operation):
    """What is sent and answered as JSON, by `request` or a status."""
    if "requestBody" in operation:
        yield "request", operation["requestBody"]["content"][JSON]
    for status, answer in operation["responses"].items():
        if JSON in answer.get("content", {}):
            yield status, answer["content"][JSON]


def texts_in(value):
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts_in(one)
    if isinstance(value, str):
        yield value


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_every_route_has_a_title_a_subject_and_what_it_does(name, operation):
    title = operation["summary"]
    assert 0 < len(title) <= TITLE_CHARACTERS_MAX, "the docstring up to its first full stop, semicolon or colon"
    assert title[0].isupper()
    # Named after its function, it would say nothing that the path does not say.
    assert title.lower() != operation["operationId"].replace("_", " ")
    assert operation["description"]
    (tag,) = operation["tags"]
    assert tag in [one["name"] for one in TAGS]


def test_every_subject_has_routes_and_says_what_it_is_about():
    assert {tag for _, operation in operations() for tag in operation["tags"]} == {one["name"] for one in TAGS}
    assert all(one["description"].endswith((".", "?")) for one in TAGS)
    assert next(one["name"] for one in document()["tags"]) == "Verify"
    assert len({operation["summary"] for _, operation in operations()}) == len(list(operations()))


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_everything_that_is_sent_and_answered_has_an_example_that_is_valid(name, operation):
    for where, media in media_of(operation):
        assert "example" in media, where
        validator = Draft202012Validator({**media["schema"], "components": document()["components"]})
        assert [f"{one.json_path}: {one.message}" for one in validator.iter_errors(media["example"])] == [], where
        assert "string" not in texts_in(media["example"]), f"{where}: give the field a sample in api/http/samples.py"
    for status, answer in operation["responses"].items():
        for kind, media in answer.get("content", {}).items():
            assert "example" in media, (status, kind)


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_every_refusal_is_listed_by_its_status_its_code_and_a_sentence(name, operation):
    refusals = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
    for status, answer in refusals.items():
        example = answer["content"][JSON]["example"]
        if "parts" in example:
            continue  # GET /ready says which part is down, and refuses nobody
        assert f"`{example['code']}`" in answer["description"], status
        assert re.match(r"[A-Z]", answer["description"]), status
        assert example["error"] == example["message"]
        assert example["error"].endswith("."), status


def example_of(name):
    return dict(operations())[name]["requestBody"]["content"][JSON]["example"]


async def test_the_examples_of_a_sale_do_what_they_are_examples_of(database_url, redis_url, net, pool):
    async with running_api(
        database_url, redis_url, [net.rpc_url], JWT_SECRET=SECRET, VERIFY_WAIT_MS=0, SETTLEMENT_WALLET=SETTLEMENT
    ) as client:
        shop = client.holding(await key_for(pool, "shop"))
        # The signature is really the wallet's.
        assert (await shop.post("/recipients", example_of("POST /recipients"))).status == 201
        wrong = {**example_of("POST /recipients"), "signature": example_of("POST /verify")["signature"]}
        assert (await shop.post("/recipients", wrong)).status == 403
        request = await shop.post("/payments/requests", example_of("POST /payments/requests"))
        assert (request.status, request["amountBaseUnits"]) == (201, "10000")
        # It is good, but for its time: an example is older than a proof may be.
        proof = example_of("POST /verify")
        assert (await shop.verify(proof)).code == "PAYMENT_EXPIRED"
        assert (await shop.verify({**proof, "nonce": "order-1043"})).code == "INVALID_SIGNATURE"
        service = await shop.post("/marketplace/services", example_of("POST /marketplace/services"))
        assert service.status == 201
        changed = example_of("PATCH /marketplace/services/{service_id}")
        patched = await shop.call("PATCH", f"/marketplace/services/{service['id']}", changed)
        assert (patched.status, patched["tags"]) == (200, changed["tags"])
        await register_wallet(pool, address=SETTLEMENT, user_id="market", label=None, followed_from_slot=0)
        buyer = client.holding(await key_for(pool, "buyer"))
        order = {**example_of("POST /marketplace/jobs"), "serviceId": service["id"]}
        assert (await buyer.post("/marketplace/jobs", order)).status == 201
        made = await shop.post("/api-keys", example_of("POST /api-keys"))
        assert made.status == 201
        rotation = example_of("POST /api-keys/{key_prefix}/rotate")
        assert (await shop.post(f"/api-keys/{made['keyPrefix']}/rotate", rotation)).status == 201
        assert (await shop.post("/auth/token", example_of("POST /auth/token"))).status == 200
        verdict = await shop.post("/x402/verify", example_of("POST /x402/verify"))
        assert (verdict.status, verdict["isValid"]) == (200, False)


async def test_no_example_of_a_request_is_refused_for_its_form(database_url, redis_url, pool):
    """What an example names does not exist here: 404 and the like come after its form was found good."""
    settings = {"JWT_SECRET": SECRET, "VERIFY_WAIT_MS": 0, "WEBHOOK_PRIVATE_RECEIVERS": "true"}
    async with running_api(database_url, redis_url, [NO_NODE], **settings) as client:
        admin = client.holding(await key_for(pool, "operations", ("read", "write", "admin")))
        await register_wallet(
            pool,
            address=example_of("POST /recipients")["address"],
            user_id="operations",
            label=None,
            followed_from_slot=0,
        )
        asked = {}
        for name, operation in operations():
            method, path = name.split()
            if "requestBody" not in operation:
                continue
            for parameter in operation.get("parameters", ()):
                path = path.replace("{" + parameter["name"] + "}", str(parameter.get("example")))
            # There is no DNS here: a name that is not found is refused, whatever its form.
            body = json.loads(json.dumps(example_of(name)).replace("https://shop.example", "http://127.0.0.1"))
            asked[name] = await admin.call(method, path, body)
    assert {name: reply.body for name, reply in asked.items() if reply.status == 400} == {}
    assert len(asked) > 20


@pytest.mark.parametrize(("page", "title"), [("/docs", "Verify a payment and use it up"), ("/redoc", "Verify")])
async def test_the_pages_of_the_description_are_drawn_in_a_browser(database_url, redis_url, page, title):
    async with running_api(database_url, redis_url, [NO_NODE]) as api, running_chromium() as browser:
        opened = await browser.new_page()
        complaints, foreign = [], []
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
        opened.on("request", lambda one: foreign.append(one.url))
        await opened.goto(api.url + page)
        await opened.get_by_text(title).first.wait_for(timeout=60_000)
        text = await opened.inner_text("body")
        places = [f"\n{text}".find(f"\n{one}") for one in ("Verify", "Payments", "Webhooks", "Operations")]
        assert places == sorted(places)
        # What its maker counts its readers by is not loaded.
        assert [one for one in complaints if "cdn.redoc.ly" not in one] == []
        assert [
            url for url in foreign if not url.startswith((api.url, "data:", "blob:", "https://cdn.redoc.ly/redoc/logo"))
        ] == []
        policy = (await api.get(page)).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
