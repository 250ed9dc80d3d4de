"""What a test key may do: nothing live changes by any route of the API's document, or by any form of the console."""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

import pytest
from solders.keypair import Keypair

import api.console
from ledger.recipients import register_wallet, registration_text
from localnet.payments import USDC
from tests.support.api_client import Client, key_for, running_api
from tests.support.api_operations import OPERATIONS, bearing, prefix
from tests.support.console_browser import signed_in
from tests.support.funded_jobs import ordered_job, waiting_payout
from tests.support.job_shop import fast_settings
from tests.support.ledger_rows import NO_NODE, TOKEN_PROGRAM, Vendor, new_signature
from tests.support.reconciling import reconcile as report
from tests.support.service_offer import OFFER
from worker.claims.decide import reconcile
from worker.context import open_worker_context

HERE = "http://127.0.0.1:9/hooks"
# What every request writes, or what the process does by itself.
OWN_WORK = {"alembic_version", "events", "heartbeats", "idempotent_answers", "console_sessions"}


@dataclass
class Live:
    """A merchant with one live thing of each kind, who is client and provider of a job whose payout waits."""

    vendor: Vendor
    wallet: Keypair
    settlement: str
    webhook: str
    service: str
    request: str
    finding: str
    job: Any
    payout: Any
    paid: str

    @property
    def api(self) -> Client:
        return self.vendor.api

    @property
    def names(self) -> dict[str, Any]:
        """What stands in a path for each of these."""
        return {
            "address": self.wallet.pubkey(), "key_prefix": prefix(self.vendor.client.key), "webhook_id": self.webhook,
            "service_id": self.service, "finding_id": self.finding, "job_id": self.job, "payout_id": self.payout,
            "event_id": "evt_1",
        }  # fmt: skip

    def registration(self) -> dict[str, str]:
        address = str(self.wallet.pubkey())
        text = registration_text(address, self.vendor.user, None)
        return {"address": address, "signature": str(self.wallet.sign_message(text.encode())), "label": "taken"}


@pytest.fixture
async def live(database_url, redis_url, pool):
    settlement, wallet = str(Keypair().pubkey()), Keypair()
    settings = {"SETTLEMENT_WALLET": settlement, "VERIFY_WAIT_MS": 100, "WEBHOOK_PRIVATE_RECEIVERS": True}
    async with running_api(database_url, redis_url, [NO_NODE], **settings) as client:
        await Vendor(client, pool, user="operations", wallet=settlement).open()
        vendor = await Vendor(client, pool, wallet=str(wallet.pubkey())).open()
        await vendor.paid(7_000)
        await report(database_url)
        (finding,) = (await vendor.client.get("/analytics/reconciliation/findings"))["findings"]
        job = await ordered_job(pool, settlement, client=vendor.user, provider=vendor.user)
        yield Live(
            vendor=vendor,
            wallet=wallet,
            settlement=settlement,
            webhook=(await vendor.client.post("/webhooks", {"url": HERE}))["id"],
            service=(await vendor.client.post("/marketplace/services", OFFER))["id"],
            request=(await vendor.client.post("/payments/requests", {"amount": "0.01", "currency": "USDC"}))["nonce"],
            finding=finding["id"],
            job=job,
            payout=await waiting_payout(pool, job),
            paid=await vendor.paid(),
        )


def refused_operations(live: Live) -> dict[str, Any]:
    """Every operation that would change something live, with what is sent; each is refused."""
    elsewhere = {"payoutAddress": str(Keypair().pubkey())}
    step, job, finding = "POST /marketplace/jobs/{job_id}", "/marketplace/jobs", "/analytics/reconciliation/findings"
    return {
        "POST /verify": live.vendor.proof(live.paid),
        "POST /payments/requests": {"amount": "0.01", "currency": "USDC"},
        "POST /recipients": live.registration(),
        "DELETE /recipients/{address}": None,
        "PATCH /marketplace/services/{service_id}": elsewhere,
        "DELETE /marketplace/services/{service_id}": None,
        f"POST {job}": {"serviceId": live.service, "input": {}},
        f"{step}/accept": None,
        f"{step}/start": None,
        f"{step}/submit": {"output": 1},
        f"{step}/approve": None,
        f"{step}/dispute": {"reason": "late"},
        f"{step}/cancel": None,
        f"{step}/resolve": {"resolution": "refund"},
        f"{step}/rate": {"score": 1},
        f"{step}/payouts/{{payout_id}}/redirect": elsewhere,
        "POST /marketplace/seed": None,
        f"POST {finding}/{{finding_id}}/accept": {},
        f"POST {finding}/{{finding_id}}/note": {"note": "seen"},
        f"POST {finding}/{{finding_id}}/refund": {"signature": new_signature()},
        f"POST {finding}/{{finding_id}}/refund/withdraw": {"signature": new_signature()},
        "PATCH /webhooks/{webhook_id}": {"url": "http://127.0.0.1:9/thief"},
        "DELETE /webhooks/{webhook_id}": None,
        "POST /webhooks/{webhook_id}/rotate": None,
        "POST /webhooks/{webhook_id}/test": None,
        "POST /webhooks/{webhook_id}/deliveries/retry": {"from": "evt_1"},
        "POST /webhooks/{webhook_id}/deliveries/{event_id}/retry": None,
        "POST /api-keys": {"name": "more", "environment": "live"},
        "DELETE /api-keys/{key_prefix}": None,
        "POST /api-keys/{key_prefix}/rotate": None,
        "POST /ops/backfill": {},
        "POST /ops/reconcile": None,
    }


# What makes something new, which is a test's, or changes nothing; other tests show what x402 says of a test key.
HARMLESS = {
    "POST /marketplace/services": "test_what_a_test_key_makes_is_for_tests",
    "POST /webhooks": "test_what_a_test_key_makes_is_for_tests",
    "POST /auth/token": "test_no_test_key_changes_anything_live_by_any_route",
    "POST /x402/verify": "test_only_wallets_that_are_followed_for_the_caller_are_paid",
    "POST /x402/settle": "test_a_test_key_settles_nothing_to_a_live_wallet",
}


async def rows(pool) -> dict[str, list[str]]:
    """Everything in the ledger, but when keys were used."""
    tables = [row[0] for row in await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    return {
        table: sorted(
            row[0]
            for row in await pool.fetch(f"SELECT (to_jsonb(t) - 'last_used' - 'last_used_at')::text FROM {table} AS t")
        )
        for table in tables
        if table not in OWN_WORK
    }


@pytest.mark.parametrize("permissions", [("read", "write"), ("read", "write", "admin")], ids=["writer", "admin"])
@pytest.mark.parametrize("credential", ["key", "token"])
async def test_no_test_key_changes_anything_live_by_any_route(live, pool, permissions, credential):
    refused = refused_operations(live)
    changing = {operation for operation in OPERATIONS if not operation.startswith("GET ")}
    # A new route is either refused to a test key or known to touch nothing live.
    assert changing == {*refused, *HARMLESS}
    tester = live.api.holding(await key_for(pool, live.vendor.user, permissions, environment="test"))
    headers = bearing((await tester.post("/auth/token"))["token"]) if credential == "token" else {}
    caller = live.api if credential == "token" else tester
    before, wrong = await rows(pool), {}
    for operation, body in refused.items():
        method, path = operation.split()
        reply = await caller.call(method, path.format_map(live.names), body, headers=headers)
        if (reply.status, reply.code) != (403, "FORBIDDEN"):
            wrong[operation] = (reply.status, reply.text)
        elif "test key" not in reply.text and "admin" in permissions and not (credential == "token" and "keys" in path):
            wrong[operation] = reply.text
    assert not wrong
    assert await rows(pool) == before
    assert (await live.vendor.client.verify(live.vendor.proof(live.paid))).code == "VALID"


def posting_forms() -> set[str]:
    """The paths of the console to which a form is sent."""
    modules = [importlib.import_module(f"api.console.{one.name}") for one in pkgutil.iter_modules(api.console.__path__)]
    routes = [route for module in modules if hasattr(module, "router") for route in module.router.routes]
    return {route.path for route in routes if route.methods - {"GET", "HEAD"}}


async def test_no_session_of_a_test_key_changes_anything_live_by_any_form(live, pool):
    key = await key_for(pool, live.vendor.user, ("read", "write", "admin"), environment="test")
    account = str(Keypair().pubkey())
    await pool.execute(
        "INSERT INTO token_accounts (address, recipient, mint, program) VALUES ($1, $2, $3, $4)",
        account, live.vendor.wallet, str(USDC), TOKEN_PROGRAM,
    )  # fmt: skip
    forms = {
        "/console/keys/new": {"name": "n", "environment": "live", "days": "", "read": "yes", "key": key},
        "/console/keys/{key_prefix}/rotate": {"key": key, "grace": "0"},
        "/console/keys/{key_prefix}/revoke": {},
        "/console/requests/new": {"amount": "0.01", "currency": "USDC", "minutes": "15"},
        "/console/wallets/new": live.registration(),
        "/console/wallets/{address}/remove": {},
        "/console/reconciliation/{finding_id}/accept": {},
        "/console/reconciliation/{finding_id}/note": {"note": "seen"},
        "/console/reconciliation/{finding_id}/refund": {"signature": new_signature()},
        "/console/reconciliation/{finding_id}/withdraw": {"signature": new_signature()},
        "/console/jobs/{job_id}/payouts/{payout_id}/redirect": {"wallet": str(Keypair().pubkey()), "confirmed": "yes"},
        "/console/webhooks/{webhook_id}/test": {},
        "/console/webhooks/{webhook_id}/deliveries/{event_id}/retry": {},
        "/console/audit/{account}/heal": {},
    }
    asked = {path.replace("{account}", "{address}") for path in forms}
    assert posting_forms() == {*asked, "/console/sign-in", "/console/sign-out"}
    browser = await signed_in(live.api, key)
    token, before, wrong = await browser.token(), await rows(pool), {}
    for path, form in forms.items():
        seen = await browser.post(path.format_map({**live.names, "account": account}), {"form_token": token, **form})
        if seen.status != 403 or "test key" not in seen.text:
            wrong[path] = (seen.status, seen.text)
    assert not wrong
    assert await rows(pool) == before


async def test_what_a_test_key_makes_is_for_tests(live, pool):
    tester = live.api.holding(await key_for(pool, live.vendor.user, environment="test"))
    for path, body in (
        ("/api-keys", {"name": "more"}),
        ("/webhooks", {"url": HERE}),
        ("/marketplace/services", {**OFFER, "payoutAddress": None, "agentId": "tester"}),
    ):
        made = await tester.post(path, body)
        assert (made.status, made["environment"]) == (201, "test"), made.text
    # Its own service it changes, and orders; a live key orders live services alone.
    service = f"/marketplace/services/{made['id']}"
    assert (await tester.call("PATCH", service, {"name": "Trials"})).status == 200
    order = {"serviceId": made["id"], "input": {}}
    assert (await live.vendor.client.post("/marketplace/jobs", order)).code == "CONFLICT"
    job = await tester.post("/marketplace/jobs", order)
    assert job.status == 201, job.text
    assert await pool.fetchval("SELECT environment FROM job_requests WHERE id = $1", job["id"]) == "test"
    for step in ("accept", "cancel"):
        assert (await tester.post(f"/marketplace/jobs/{job['id']}/{step}")).status == 200
    assert (await tester.delete(service)).status == 204


@pytest.fixture
async def trial(live, pool):
    """A wallet for tests of the merchant with the live one, and a test key."""
    wallet = str(Keypair().pubkey())
    await register_wallet(
        pool, address=wallet, user_id=live.vendor.user, label=None, followed_from_slot=0, environment="test"
    )
    tester = live.api.holding(await key_for(pool, live.vendor.user, environment="test"))
    return Vendor(live.api, pool, wallet=wallet), tester


async def test_a_test_key_takes_payments_to_wallets_for_tests(live, trial):
    vendor, tester = trial
    asked = await tester.post("/payments/requests", {"amount": "0.01", "currency": "USDC"})
    assert (asked.status, asked["recipient"]) == (201, vendor.wallet)
    named = {"amount": "0.01", "currency": "USDC", "recipient": live.vendor.wallet}
    assert (await tester.post("/payments/requests", named)).code == "FORBIDDEN"
    proof = vendor.proof(await vendor.paid(memos=[asked["nonce"]]), nonce=asked["nonce"])
    assert (await tester.verify(proof)).code == "VALID"
    assert (await tester.verify(vendor.proof(await vendor.paid()))).code == "VALID"
    assert (await vendor.claim(proof["nonce"]))["environment"] == "test"
    # A live one's request, paid or not, is out of its reach, and so is its live wallet when it is named.
    for fields in ({"nonce": live.request}, {"recipient": live.vendor.wallet}):
        assert (await tester.verify(vendor.proof(new_signature(), **fields))).code == "FORBIDDEN"


async def test_a_claim_that_a_test_key_made_beforehand_takes_no_live_payment(live, trial, pool, database_url):
    vendor, tester = trial
    buyer = live.vendor
    transaction = new_signature()
    proof = buyer.proof(transaction)
    assert (await tester.verify(proof)).code == "PAYMENT_PENDING"
    await buyer.paid(signature=transaction)
    async with open_worker_context(fast_settings(), database_url, [NO_NODE]) as context:
        await reconcile(context)
    assert (await vendor.claim(proof["nonce"]))["status"] != "confirmed"
    assert (await tester.verify(proof)).code == "FORBIDDEN"
    assert (await buyer.client.verify(proof)).code == "VALID"
    assert (await vendor.claim(proof["nonce"]))["environment"] == "live"


async def test_a_live_claim_that_waits_is_left_as_it_is_by_a_test_key(live, trial, pool):
    vendor, tester = trial
    proof = live.vendor.proof(new_signature())
    assert (await tester.verify(proof)).code == "PAYMENT_PENDING"
    assert (await live.vendor.client.verify(proof)).code == "PAYMENT_PENDING"
    waiting = await vendor.claim(proof["nonce"])
    assert waiting["environment"] == "live"
    assert (await tester.verify({**proof, "amount": "9"})).code == "FORBIDDEN"
    assert await vendor.claim(proof["nonce"]) == waiting


async def test_the_demo_key_takes_what_is_paid_to_an_operators_wallet(database_url, redis_url, pool):
    settings = {"APP_ENV": "development", "VERIFY_WAIT_MS": 100}
    async with running_api(database_url, redis_url, [NO_NODE], **settings) as client:
        vendor = await Vendor(client, pool, user="operator").open()
        demo = client.holding("demo-key")
        assert (await demo.verify(vendor.proof(await vendor.paid()))).code == "VALID"
        assert (await demo.post("/payments/requests", {"amount": 1, "currency": "USDC"})).status == 201
        assert (await demo.delete(f"/recipients/{vendor.wallet}")).code == "FORBIDDEN"
