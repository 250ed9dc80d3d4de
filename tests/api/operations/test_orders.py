"""Work that admins order over HTTP: a backfill by the indexers, a reconciliation by the workers."""

from uuid import UUID

from solders.keypair import Keypair

from api.operations.order_routes import ClaimsDecided
from tests.support.api_client import key_for, pay_usdc
from tests.support.job_shop import fast_settings
from tests.support.ledger_checks import eventually
from tests.support.ledger_rows import new_signature
from worker.main import running_worker


async def finished(admin, ordered):
    assert ordered.status == 202, ordered.text

    async def is_done():
        job = await admin.get(f"/ops/jobs/{ordered['jobId']}")
        assert job.status == 200, job.text
        assert job["state"] in {"queued", "running", "done"}, job.text
        return job if job["state"] == "done" else None

    job = await eventually(is_done, seconds=30)
    assert job["createdAt"] <= job["startedAt"] <= job["finishedAt"]
    assert job["error"] is None
    return job


async def test_a_backfill_finds_what_no_notification_showed(admin, market, net, pool, indexer):
    net.set_faults({"notificationsLost": {"rate": 1, "methods": ["logsNotification"]}})
    signature, _ = await pay_usdc(market, 777)
    await market.settled()
    net.set_faults(None)
    wallet = str(market.recipients[0].pubkey())
    job = await finished(admin, await admin.post("/ops/backfill", {"recipient": wallet, "fromSlot": 0}))
    assert job["kind"] == "backfill"
    # An audit may have been quicker to find it; the whole history was walked all the same.
    assert job["progress"]["accountsDone"] == job["progress"]["accounts"] >= 2
    assert (await admin.get(f"/payments/{signature}")).status == 200
    again = await finished(admin, await admin.post("/ops/backfill", {"signature": signature}))
    assert again["jobId"] != job["jobId"]


async def test_a_reconciliation_is_made_by_a_worker(admin, market, indexer, database_url, redis_url, net):
    async with running_worker(fast_settings(), database_url, redis_url, [net.rpc_url]):
        job = await finished(admin, await admin.post("/ops/reconcile"))
    assert job["kind"] == "reconcile"
    assert job["progress"]["decided"].keys() == {name.alias for name in ClaimsDecided.model_fields.values()}
    assert (await admin.get("/analytics/reconciliation")).status == 200


async def test_orders_that_mean_nothing_are_refused(vendor):
    admin = vendor.api.holding(await key_for(vendor.pool, "operations", ("admin",)))
    for wrong, status in (
        ({"recipient": "nonsense"}, 400),
        ({"recipient": str(Keypair().pubkey())}, 404),
        ({"signature": "nonsense"}, 400),
        ({"signature": new_signature(), "fromSlot": 1}, 400),
        ({"fromSlot": 2, "toSlot": 1}, 400),
        ({"fromSlot": -1}, 400),
        ({"fromSlot": 2**53}, 400),
        ({"whatever": 1}, 400),
    ):
        assert (await admin.post("/ops/backfill", wrong)).status == status, wrong
    for path in ("/ops/reconcile", "/marketplace/seed", f"/marketplace/jobs/{UUID(int=0)}/resolve"):
        refused = await admin.post(path, {"resolution": "refund", "whatever": 1})
        assert (refused.status, "whatever" in refused["error"] or "resolution" in refused["error"]) == (400, True), path
    assert (await admin.post("/ops/reconcile", {})).status == 202
    for job in ("nonsense", "backfill-", "reconcile-00000000-0000-0000-0000-000000000000", "backfill-" + "0" * 36):
        assert (await admin.get(f"/ops/jobs/{job}")).code == "NOT_FOUND", job
    assert (await vendor.client.post("/ops/backfill", {})).status == 403
    everything = await admin.post("/ops/backfill")
    assert everything.status == 202
    queued = await admin.get(f"/ops/jobs/{everything['jobId']}")
    assert queued["state"] == "queued"
    nothing = {"found": 0, "new": 0, "known": 0, "failed": 0, "accounts": 0, "accountsDone": 0, "seconds": 0}
    assert queued["progress"] == nothing
