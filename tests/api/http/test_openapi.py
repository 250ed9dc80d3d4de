"""The API's own description: it is complete, it can be read without a network, and the API keeps to it."""

import asyncio
import re
import sys
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from tests.support.api_client import key_for, running_api
from tests.support.documented_answers import undocumented

CHECKS = ("not_a_server_error", "status_code_conformance", "response_schema_conformance", "content_type_conformance")
UNLIMITED = {"/health", "/ready", "/metrics"}
METHODS = {"get", "post", "patch", "put", "delete"}
ADDRESS = re.compile(r"""(?:src|href)=["']([^"']+)["']|url:\s*["']([^"']+)["']""")


@pytest.fixture
async def shop(database_url, redis_url, net, pool):
    """An API that waits for no payment; called with an admin's key."""
    async with running_api(database_url, redis_url, [net.rpc_url], VERIFY_WAIT_MS=0) as client:
        yield client.holding(await key_for(pool, "operations", ("read", "write", "admin")))


@pytest.fixture
async def document(shop):
    """What /openapi.json says."""
    return (await shop.get("/openapi.json")).body


def operations_of(document):
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield f"{method.upper()} {path}", item[method]


async def test_every_operation_says_what_it_does_and_who_may_call_it(document):
    schemes = document["components"]["securitySchemes"]
    kinds = {(scheme["type"], scheme.get("name") or scheme.get("scheme")) for scheme in schemes.values()}
    assert kinds == {("apiKey", "x-api-key"), ("http", "bearer")}
    seen = dict(operations_of(document))
    assert len(seen) > 30
    for name, operation in seen.items():
        assert operation.get("summary"), name
        assert operation.get("description"), name
        wanted = set() if name.split()[1] in UNLIMITED else set(schemes)
        assert {scheme for option in operation.get("security", ()) for scheme in option} == wanted, name


async def test_every_operation_documents_its_refusals_in_the_one_form_that_errors_have(document):
    schemas = document["components"]["schemas"]
    assert schemas["ErrorBody"]["required"] == ["error", "message", "code"]
    assert not {"HTTPValidationError", "ValidationError"} & schemas.keys()
    for name, operation in operations_of(document):
        answers = operation["responses"]
        refusals = {status: answer for status, answer in answers.items() if status.startswith("4")}
        assert "422" not in refusals, name
        if name.split()[1] not in UNLIMITED:
            assert {"400", "401", "429"} <= refusals.keys(), name
            assert "503" in answers, name
        if name.startswith("POST"):
            assert {"409"} <= refusals.keys(), name
        if "requestBody" in operation:
            assert {"413", "415"} <= refusals.keys(), name
        for status, answer in refusals.items():
            form = schemas[answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]
            assert {"error", "message", "code", "requestId"} <= form["properties"].keys(), (name, status)


def object_schemas(schema, schemas, seen):
    """Every schema of an object with named fields that `schema` holds or refers to, by its name."""
    if isinstance(schema, list):
        for part in schema:
            yield from object_schemas(part, schemas, seen)
    elif isinstance(schema, dict):
        if (name := schema.get("$ref", "").rpartition("/")[2]) and name not in seen:
            seen.add(name)
            if "properties" in schemas[name]:
                yield name, schemas[name]
            yield from object_schemas(schemas[name], schemas, seen)
        for part in schema.values():
            yield from object_schemas(part, schemas, seen)


async def test_no_answer_may_hold_a_field_that_is_not_declared(document):
    schemas = document["components"]["schemas"]
    answers = [operation["responses"] for _, operation in operations_of(document)]
    found = dict(object_schemas(answers, schemas, set()))
    assert len(found) > 30
    assert [name for name, schema in found.items() if schema.get("additionalProperties") is not False] == []


def test_an_undeclared_field_would_be_found():
    revoked = {"message": "m", "keyPrefix": "p"}
    assert undocumented("DELETE", "/api-keys/x?y=z", 200, revoked) == []
    (wrong,) = undocumented("DELETE", "/api-keys/x", 200, {**revoked, "replaced": True})
    assert "'replaced' was unexpected" in wrong
    (missing,) = undocumented("DELETE", "/api-keys/x", 200, {"message": "m"})
    assert "'keyPrefix' is a required property" in missing


REFUSED = {"error": "e", "message": "e", "code": "c", "details": None, "requestId": None}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("DELETE", "/api-keys/x", 201), ("GET", "/payments", 404), ("GET", "/nowhere", 200), ("PUT", "/payments", 200)],
)
def test_an_answer_that_is_not_documented_would_be_found(method, path, status):
    (wrong,) = undocumented(method, path, status, REFUSED)
    assert wrong == f"{method} {path} {status}: no such answer is documented"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("PUT", "/payments", 405), ("GET", "/payments", 500), ("GET", "/payments", 503)],
)
def test_what_no_route_documents_for_itself_has_the_form_that_errors_have(method, path, status):
    assert undocumented(method, path, status, REFUSED) == []
    (wrong,) = undocumented(method, path, status, {**REFUSED, "undeclared": 1})
    assert "'undeclared' was unexpected" in wrong


# What callers store themselves comes back as it was, and what happened has a form for each type of event.
OPEN = {("EventBody", "data"), ("RequestBody", "metadata"), ("RequestStatus", "metadata")}


def parts_of(schema):
    """Every part of a schema, however deep."""
    yield schema
    for one in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(one, dict | list):
            yield from parts_of(one)


async def test_no_answer_has_an_open_object_but_where_callers_store_one(document):
    schemas, found = document["components"]["schemas"], set()
    todo = [operation["responses"] for _, operation in operations_of(document)]
    while todo:
        named = {part["$ref"].rpartition("/")[2] for part in parts_of(todo.pop()) if "$ref" in part}
        todo += [schemas[name] for name in named - found]
        found |= named
    opened = {
        (name.rpartition("__")[2], field)
        for name in found
        for field, schema in schemas[name].get("properties", {}).items()
        for part in parts_of(schema)
        if isinstance(part, dict) and part.get("type") == "object" and part.get("additionalProperties", True) is True
    }
    assert opened == OPEN


async def test_a_page_of_payments_says_which_time_counts(document):
    parameters = {one["name"]: one for one in document["paths"]["/payments"]["get"]["parameters"]}
    for name in ("since", "until"):
        assert "recorded" in parameters[name]["description"]


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_documentation_is_served_whole_without_a_network(shop, page):
    opened = await shop.get(page)
    assert opened.status == 200
    parts = {address for found in ADDRESS.findall(opened.text) for address in found if address}
    assert len(parts) >= 2
    for part in parts - {"#"}:
        assert not urlsplit(part).netloc, part
        async with shop.http.get(shop.url + urljoin(page, part)) as answered:
            assert answered.status == 200, part
    assert set(re.findall(r"https?://[^/\"' <]+", opened.text)) <= {shop.url}


async def test_the_api_keeps_to_its_description_whatever_it_is_sent(shop, tmp_path):
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        "run", f"{shop.url}/openapi.json",
        "--header", f"x-api-key: {shop.key}",
        "--checks", ",".join(CHECKS),
        "--phases", "examples,fuzzing",
        "--max-examples", "8", "--seed", "402", "--generation-deterministic",
        "--exclude-path", "/events/stream",  # an answer without an end; tests/api/events reads it
        "--workers", "1", "--request-timeout", "20", "--no-color",
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    report, _ = await process.communicate()
    assert process.returncode == 0, report.decode()
