"""What users of the older system are told: escrow's danger, and a document whose every call is as it says."""

import json
import re

from solders.keypair import Keypair

from tests.support.api_client import running_api
from tests.support.ledger_rows import NO_NODE
from tests.support.source_tree import ROOT

DOCUMENT = ROOT / "docs" / "migration.md"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def test_every_call_of_the_older_escrow_says_that_its_key_is_in_danger(database_url, redis_url, capfd):
    secret = str(bytes(Keypair()))
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        for path in ("/escrow", "/escrow/", "/escrow/create", "/escrow/1/release", "/escrow/a/b/c?d=e"):
            for method in METHODS:
                for body in (None, json.dumps({"secretKey": secret}).encode(), b"no JSON"):
                    headers = {"Content-Type": "application/json", "x-api-key": "sk_live_nonsense"}
                    headers |= {"Idempotency-Key": f"{path} {method}"} if body else {}
                    gone = await api.call(method, path, data=body, headers=headers, is_documented=False)
                    assert (gone.status, gone.code) == (410, "GONE"), (method, path)
                    assert {"error", "message", "code", "requestId"} <= gone.body.keys()
                    for words in ("stolen", "new wallet", "POST /marketplace/jobs"):
                        assert words in gone["error"]
        assert (await api.get("/escrows")).status == 404
    assert secret not in "".join(capfd.readouterr())


async def test_nothing_of_a_call_of_escrow_is_kept(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        await api.post("/escrow/create", {"secretKey": "x"}, headers={"Idempotency-Key": "k"}, is_documented=False)
    assert await pool.fetchval("SELECT count(*) FROM idempotent_answers") == 0


async def test_whoever_calls_escrow_without_end_is_limited(database_url, redis_url):
    async with running_api(database_url, redis_url, [NO_NODE], PUBLIC_RATE_LIMIT=3) as api:
        answers = [(await api.post("/escrow", is_documented=False)).status for _ in range(12)]
    assert set(answers) == {410, 429}


def calls():
    """Each call of the document's tables with what is said about it."""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            named, verdict, _ = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|")))
            for method, path in re.findall(r"`([A-Z]+) (/[^`]*)`", named):
                yield verdict, (method, re.sub(r"\{\w+\}", "{}", path))


async def test_the_document_says_escrow_first_and_the_truth_about_every_call(database_url, redis_url):
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "escrow" in text.split("\n\n")[1].lower()
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        paths = (await api.get("/openapi.json"))["paths"]
        served = {(m.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, found in paths.items() for m in found}
        reported = {verdict: set() for verdict in ("works", "differs", "new", "not served")}
        for verdict, call in calls():
            reported[verdict].add(call)
        answered = reported["works"] | reported["differs"] | reported["new"]
        assert answered <= served | {("GET", "/metrics")}
        assert not reported["not served"] & served
        for method, path in reported["not served"]:
            assert (await api.call(method, path.replace("{}", "1"))).status == 404, (method, path)
        assert len(reported["not served"]) > 10
        # Whatever is served where the older clients called is in the document.
        rooms = ("/verify", "/payments", "/recipients", "/marketplace", "/api-keys", "/auth", "/webhooks", "/events")
        assert {call for call in served if call[1].startswith(rooms)} - answered == set()
