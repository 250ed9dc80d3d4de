"""Analytics over HTTP, held against the claims they are about; and their plans, which must never read them all."""

import datetime as dt
import json
import re
from decimal import Decimal

import pytest

from api.analytics import lists, revenue, routes
from api.analytics.windows import window_of
from ledger.amounts import amount_text
from ledger.totals import fold_claim_changes
from tests.support.api_client import key_for
from tests.support.small_ledger import USDC, USDT, add_claim, add_merchant

NOW = dt.datetime.now(dt.UTC)
AGENTS = ("buyer-1", "buyer-2", None)
PERIODS = ("hour", "day", "week", "month", "year")


@pytest.fixture
async def claims(pool):
    """Claims of two merchants, of all ages and statuses; as the database has them."""
    ages = [dt.timedelta(minutes=n) for n in (0, 1, 7, 50)] + [dt.timedelta(days=n) for n in (0.5, 2, 6, 20, 45, 200)]
    # On one connection: a pool cleans it up after each statement.
    async with pool.acquire() as connection:
        merchants = [await add_merchant(connection, user, seed) for user, seed in (("merchant", 20), ("rival", 30))]
        for n in range(80):
            await add_claim(
                connection,
                merchants[n % 3 == 0],
                10_000 * (n + 1) + n,
                mint=USDT if n % 4 == 0 else USDC,
                agent=AGENTS[n % 3],
                at=NOW - ages[n % len(ages)],
                status=("finalized", "confirmed", "finalized", "reversed", "failed", "pending", "finalized")[n % 7],
                environment="test" if n % 5 == 0 else "live",
            )
    return [dict(row) for row in await pool.fetch('SELECT * FROM transactions ORDER BY "timestamp" DESC, id DESC')]


def honoured(claims, user, period, currency=None):
    start = window_of(period, dt.datetime.now(dt.UTC)).start
    return [
        claim
        for claim in claims
        if claim["status"] in {"confirmed", "finalized"}
        and claim["timestamp"] >= start
        and user in {None, claim["user_id"]}
        and currency in {None, claim["currency"]}
    ]


def exact(reply):
    """The answer with its numbers as they were written."""
    return json.loads(reply.text, parse_float=Decimal, parse_int=Decimal)


async def test_without_a_good_key_there_is_nothing(api, pool):
    assert (await api.get("/analytics", headers={"x-api-key": "invalid"})).status == 401
    for path in ("", "/transactions", "/revenue", "/top-agents", "/events", "/reconciliation"):
        refused = await api.get(f"/analytics{path}")
        assert (refused.status, refused.code) == (401, "INVALID_API_KEY")
        writer = api.holding(await key_for(pool, f"writer{path}", ("write",)))
        assert (await writer.get(f"/analytics{path}")).status == 403


async def test_the_index_names_what_there_is(merchant):
    reply = await merchant.get("/analytics")
    assert reply.status == 200
    for route in reply["routes"]:
        assert (await merchant.get(route)).status in {200, 404}


async def test_a_merchant_sees_its_own_claims_and_an_admin_everybodys(merchant, admin, claims):
    own = await merchant.get("/analytics/transactions?limit=1000")
    mine = [claim for claim in claims if claim["user_id"] == "merchant"]
    assert own["total"] == len(mine)
    assert [row["id"] for row in own["transactions"]] == [str(claim["id"]) for claim in mine]
    for row, claim in zip(exact(own)["transactions"], mine, strict=True):
        assert row["amount"] == Decimal(amount_text(claim["amount"], 6))
        assert row["amountBaseUnits"] == str(claim["amount"])
        is_honoured = claim["status"] in {"confirmed", "finalized"}
        assert row["status"] == ("confirmed" if is_honoured else claim["status"])
        assert row["finality"] == (claim["status"] if is_honoured else None)
        assert row["timestamp"] == int(claim["timestamp"].timestamp() * 1000)
        assert row["receivedBaseUnits"] == (None if claim["received"] is None else str(claim["received"]))
    everybody = await admin.get("/analytics/transactions?limit=1000")
    assert [row["id"] for row in everybody["transactions"]] == [str(claim["id"]) for claim in claims]
    other = await admin.get("/analytics/transactions?userId=rival&limit=1000")
    assert {row["userId"] for row in other["transactions"]} == {"rival"}
    # Naming somebody else is of no use to a merchant.
    assert (await merchant.get("/analytics/transactions?userId=rival"))["total"] == len(mine)


@pytest.mark.parametrize(
    ("query", "keeps"),
    [
        ("status=failed", lambda c: c["status"] == "failed"),
        ("status=confirmed", lambda c: c["status"] in {"confirmed", "finalized"}),
        ("status=confirmed&finality=confirmed", lambda c: c["status"] == "confirmed"),
        ("finality=finalized", lambda c: c["status"] == "finalized"),
        ("status=failed&finality=finalized", lambda _: False),
        ("currency=usdt", lambda c: c["currency"] == "USDT"),
        (f"currency={USDC}", lambda c: c["currency"] == "USDC"),
        ("currency=USDT", lambda c: c["currency"] == "USDT"),
        ("agentId=buyer-1", lambda c: c["agent_id"] == "buyer-1"),
        ("environment=test", lambda c: c["environment"] == "test"),
        ("status=finalized&agentId=buyer-2&currency=USDC",
         lambda c: (c["status"], c["agent_id"], c["currency"]) == ("finalized", "buyer-2", "USDC")),
        ("startDate={in_ms}",
         lambda c: c["timestamp"] >= NOW - dt.timedelta(days=5, milliseconds=1)),
        ("endDate={in_words}",
         lambda c: c["timestamp"] < NOW - dt.timedelta(days=5)),
        ("startDate=2099-01-01", lambda _: False),
    ],
)  # fmt: skip
async def test_filters(admin, claims, query, keeps):
    wanted = [str(claim["id"]) for claim in claims if keeps(claim)]
    five_days_ago = NOW - dt.timedelta(days=5)
    query = query.format(
        in_ms=int(five_days_ago.timestamp() * 1000), in_words=five_days_ago.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    reply = await admin.get(f"/analytics/transactions?limit=1000&{query}")
    assert [row["id"] for row in reply["transactions"]] == wanted
    assert (reply["total"], reply["totalIsLowerBound"]) == (len(wanted), False)


async def test_counting_is_given_up_and_the_answer_says_so(admin, claims, monkeypatch):
    assert len(claims) > 5
    monkeypatch.setattr(lists, "COUNTED_MAX", 5)
    monkeypatch.setattr(routes, "COUNTED_MAX", 5)
    reply = await admin.get("/analytics/transactions?limit=1000")
    assert (reply["total"], reply["totalIsLowerBound"], len(reply["transactions"])) == (5, True, len(claims))


async def test_pages_are_the_list(admin, claims):
    seen = []
    for offset in range(0, len(claims), 7):
        page = await admin.get(f"/analytics/transactions?limit=7&offset={offset}")
        assert (page["total"], page["limit"], page["offset"]) == (len(claims), 7, offset)
        seen += [row["id"] for row in page["transactions"]]
    assert seen == [str(claim["id"]) for claim in claims]


@pytest.mark.parametrize("is_folded", [False, True], ids=["noted", "folded"])
@pytest.mark.parametrize("period", PERIODS)
async def test_revenue_is_what_honoured_claims_add_up_to(pool, merchant, admin, claims, period, is_folded):
    if is_folded:
        await fold_claim_changes(pool)
    for client, user in ((merchant, "merchant"), (admin, None)):
        answer = exact(await client.get(f"/analytics/revenue?period={period}"))
        paid = honoured(claims, user, period)
        sums = {
            currency: sum(claim["received"] for claim in paid if claim["currency"] == currency)
            for currency in {claim["currency"] for claim in paid}
        }
        assert answer["byCurrencyBaseUnits"] == {name: str(total) for name, total in sums.items()}
        assert answer["byCurrency"] == {name: Decimal(amount_text(total, 6)) for name, total in sums.items()}
        for currency in ("USDC", "USDT"):
            one = exact(await client.get(f"/analytics/revenue?period={period}&currency={currency}"))
            total = Decimal(amount_text(sums.get(currency, 0), 6))
            assert (one["currency"], one["revenue"], one["total"]) == (currency, total, total)
            assert one["transactionCount"] == len(honoured(claims, user, period, currency))
            assert sum(part["amount"] for part in one["breakdown"]) == total
            assert sum(part["transactionCount"] for part in one["breakdown"]) == one["transactionCount"]
            starts = [part["startTime"] for part in one["breakdown"]]
            assert starts == sorted(starts)
            assert starts[0] == one["startTime"] <= one["endTime"]
        assert answer["currency"] == "USDC"
        assert answer["period"] == period


async def test_the_parts_of_a_week_are_its_days(admin, claims):
    answer = exact(await admin.get("/analytics/revenue?period=week&currency=USDC"))
    today = dt.datetime.now(dt.UTC).date()
    assert [part["date"] for part in answer["breakdown"]] == [
        (today - dt.timedelta(days=n)).isoformat() for n in reversed(range(7))
    ]
    for part in answer["breakdown"]:
        paid = [
            claim["received"]
            for claim in honoured(claims, None, "week", "USDC")
            if claim["timestamp"].date().isoformat() == part["date"]
        ]
        assert (part["amountBaseUnits"], part["transactionCount"]) == (str(sum(paid)), len(paid))


async def test_a_currency_is_the_same_in_any_case_and_by_its_mint(merchant, claims):
    wanted = exact(await merchant.get("/analytics/revenue?period=year&currency=USDC"))
    assert wanted["total"] > 0
    for spelling in ("usdc", "Usdc", USDC):
        same = exact(await merchant.get(f"/analytics/revenue?period=year&currency={spelling}"))
        assert (same["currency"], same["total"]) == ("USDC", wanted["total"])
        agents = await merchant.get(f"/analytics/top-agents?period=year&currency={spelling}")
        assert agents["currency"] == "USDC"
        assert agents["agents"]


async def test_an_empty_ledger_has_earned_nothing(merchant):
    for period in PERIODS:
        reply = await merchant.get(f"/analytics/revenue?period={period}")
        assert (reply["total"], reply["currency"], reply["transactionCount"]) == (0, "USDC", 0)
        assert {part["amount"] for part in reply["breakdown"]} == {0}
        assert (await merchant.get(f"/analytics/top-agents?period={period}"))["agents"] == []


@pytest.mark.parametrize("is_folded", [False, True], ids=["noted", "folded"])
@pytest.mark.parametrize("period", PERIODS)
async def test_top_agents_are_those_that_spent_most(pool, merchant, admin, claims, period, is_folded):
    if is_folded:
        await fold_claim_changes(pool)
    for client, user in ((merchant, "merchant"), (admin, None)):
        answer = exact(await client.get(f"/analytics/top-agents?period={period}&currency=USDC"))
        spent = {}
        for claim in honoured(claims, user, period, "USDC"):
            if claim["agent_id"] is not None:
                spent.setdefault(claim["agent_id"], []).append(claim)
        ranked = sorted(spent, key=lambda agent: (-sum(c["received"] for c in spent[agent]), agent))
        assert [row["agentId"] for row in answer["agents"]] == ranked
        for row in answer["agents"]:
            paid = spent[row["agentId"]]
            assert row["totalAmountBaseUnits"] == str(sum(claim["received"] for claim in paid))
            assert row["totalSpent"] == row["totalAmount"] == Decimal(row["totalAmountBaseUnits"]) / 10**6
            assert row["transactionCount"] == len(paid)
            assert row["lastActive"] == int(max(claim["timestamp"] for claim in paid).timestamp() * 1000)
    few = await admin.get(f"/analytics/top-agents?period={period}&limit=1&currency=USDC")
    assert [row["agentId"] for row in few["agents"]] == ranked[:1]


async def test_events_are_ones_own(pool, merchant, admin):
    await pool.execute(
        "INSERT INTO events (type, subject, user_id, agent_id, data) SELECT 'claim.' || s, n::text, u, a, '{\"n\": 1}'"
        " FROM unnest('{confirmed,finalized}'::text[]) AS s, generate_series(1, 5) AS n,"
        " unnest('{merchant,rival}'::text[]) AS u, unnest('{x,y}'::text[]) AS a"
    )
    own = await merchant.get("/analytics/events?limit=1000")
    # That its key was made is its own too.
    assert own["total"] == len(own["events"]) == 21
    assert own["events"][0]["data"] == {"n": 1}
    assert [one["id"] for one in own["events"]] == sorted((one["id"] for one in own["events"]), reverse=True)
    assert (await admin.get("/analytics/events"))["total"] == 42
    some = await merchant.get("/analytics/events?type=claim.finalized&agentId=x&limit=3&offset=1")
    assert (some["total"], len(some["events"])) == (5, 3)
    assert {(one["type"], one["agentId"]) for one in some["events"]} == {("claim.finalized", "x")}
    assert (await merchant.get("/analytics/events?startDate=2099-01-01"))["total"] == 0
    # Existing clients ask by families of types.
    for family, count in (("payment", 20), ("verification", 20), ("claim", 20), ("escrow", 0), ("no-family", 0)):
        reply = await merchant.get(f"/analytics/events?type={family}")
        assert (reply["total"], len(reply["events"])) == (count, count), family


REPORT = {
    "at": 5,
    "byMint": [{"mint": USDC, "symbol": "USDC", "decimals": 6, "transfers": 3, "matchedTransfers": 1,
                "receivedBaseUnits": "30", "matchedBaseUnits": "10", "unmatchedBaseUnits": "20"}],
    "byUser": [{"userId": user, "mint": USDC, "symbol": "USDC", "decimals": 6, "transfers": n, "matchedTransfers": 1,
                "receivedBaseUnits": f"{n}0", "matchedBaseUnits": "10", "unmatchedBaseUnits": f"{n - 1}0"}
               for user, n in (("merchant", 1), ("rival", 2))],
    "claims": [{"userId": user, "mint": USDC, "status": "finalized", "claims": 1, "claimedBaseUnits": "10",
                "receivedBaseUnits": "10"} for user in ("merchant", "rival")],
    "counts": {"unmatchedTransfer": 2},
    "findings": {"unmatchedTransfer": [
        {"kind": "unmatchedTransfer", "userId": user, "signature": "5" * 88, "path": "0", "mint": USDC,
         "amountBaseUnits": "10", "expectedBaseUnits": None, "payer": "payer", "recipient": "wallet", "nonce": None,
         "claimId": None, "code": None, "at": 4} for user in ("merchant", "rival")
    ]},
    "audit": {"inDoubt": [{"userId": "rival", "account": "account", "recipient": "wallet", "mint": USDC,
                           "driftBaseUnits": "-7", "gaps": 2, "reason": None, "auditedSlot": None}]},
}  # fmt: skip


async def test_what_a_newer_worker_stores_of_a_report_is_left_out(pool, admin):
    newer = {**REPORT, "claims": [{**REPORT["claims"][0], "later": 1}], "later": 1}
    await pool.execute(
        "INSERT INTO reconciliation_runs (status, requested_by, report, finished_at) VALUES ('done', 't', $1, now())",
        newer,
    )
    assert (await admin.get("/analytics/reconciliation"))["claims"] == REPORT["claims"][:1]


async def test_the_last_report_is_shown_to_each_as_far_as_it_is_theirs(pool, merchant, admin):
    assert (await admin.get("/analytics/reconciliation")).status == 404
    for status, report in (("done", {**REPORT, "at": 4}), ("done", REPORT), ("queued", None)):
        await pool.execute(
            "INSERT INTO reconciliation_runs (status, requested_by, report, finished_at)"
            " VALUES ($1, 'test', $2, CASE WHEN $1 = 'done' THEN now() END)",
            status,
            report,
        )
    everything = exact(await admin.get("/analytics/reconciliation"))
    assert (everything["at"], everything["drift"], everything["gaps"]) == (5, 1, 2)
    assert everything["matched"] == {"USDC": Decimal("0.00001")}
    assert everything["unmatched"] == {"USDC": Decimal("0.00002")}
    assert everything["byMint"][0]["receivedBaseUnits"] == "30"
    assert everything["findings"] == REPORT["findings"]
    assert everything["claims"] == REPORT["claims"]
    assert everything["accountsInDoubt"] == REPORT["audit"]["inDoubt"]
    own = await merchant.get("/analytics/reconciliation")
    assert "rival" not in own.text
    assert own["findings"] == {"unmatchedTransfer": REPORT["findings"]["unmatchedTransfer"][:1]}
    assert (own["claims"], own["accountsInDoubt"]) == (REPORT["claims"][:1], [])
    assert (own["drift"], own["gaps"], own["counts"]) == (0, 0, {"unmatchedTransfer": 1})
    assert exact(own)["matched"] == {"USDC": Decimal("0.00001")}


@pytest.mark.parametrize(
    "query",
    [
        "transactions?limit=0", "transactions?limit=1001", "transactions?offset=-1", "transactions?offset=10001",
        "transactions?limit=many", "transactions?status=paid", "transactions?startDate=yesterday",
        "transactions?endDate=99999999999999999999", "transactions?agentId=%00", "transactions?environment=dev",
        "transactions?currency=", "revenue?period=decade", "revenue?currency=XYZ", "top-agents?currency=XYZ",
        "transactions?currency=XYZ", "transactions?startDate=1764288000", "transactions?startDate=2026",
        "events?endDate=1764288000", "transactions?startDate=2026-01", "transactions?startDate=20260131",
        "transactions?startDate=2026-02-01&endDate=2026-01-01", "events?startDate=2026-02-01&endDate=2026-01-01",
        "transactions?from=2026-01-01", "revenue?currencies=USDC", "top-agents?Limit=5", "events?event=claim.pending",
        "reconciliation?since=0", "transactions?startDate=1764288000000000", "transactions?finality=maybe",
        "revenue?status=confirmed", "revenue?currency=%00", "top-agents?limit=101",
        "top-agents?period=", "events?type=%00", "events?startDate=2026-13-01", "events?limit=1e3",
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(merchant, query):
    reply = await merchant.get(f"/analytics/{query}")
    assert (reply.status, reply.code) == (400, "VALIDATION_ERROR")
    assert re.fullmatch(r"[^\n]+; [^\n]+\.", reply["error"])


SPENT = {"mints": [USDC], "limit": 10}
PLANNED = [
    ("count_claims", {"count_max": 1_000_000}),
    ("claims_page", {"limit": 50, "offset": 1_000}),
    ("revenue_by_step", {"step": dt.timedelta(hours=1), "since": NOW - dt.timedelta(days=1)}),
    ("agents_by_claim", {"since": NOW - dt.timedelta(days=1), "mints": [USDC], "limit": 10}),
    ("revenue_by_day", {"since": NOW.date() - dt.timedelta(days=365)}),
    ("agents_by_totals", {"since": NOW.date() - dt.timedelta(days=30), "by_month": False, **SPENT}),
    ("agents_by_totals", {"since": NOW.date() - dt.timedelta(days=365), "by_month": True, **SPENT}),
    ("count_events", {"count_max": 1_000_000}),
    ("events_page", {"limit": 50, "offset": 1_000}),
]


@pytest.fixture(scope="module")
def many():
    """So many claims and events that reading them all would be felt."""
    return 30_000


@pytest.mark.parametrize("user", [None, "merchant-7"], ids=["everybody", "one merchant"])
async def test_no_query_reads_every_row(pool, many, user):
    async with pool.acquire() as connection:
        await _fill(connection, many)
        await connection.execute("SET plan_cache_mode = force_custom_plan")
        for name, parameters in PLANNED:
            queries = next(owner._queries for owner in (lists, revenue) if name in owner._queries.available_queries)
            query = getattr(queries, name)
            names = list(dict.fromkeys(queries.driver_adapter.var_sorted[name]))
            whose = user or ("" if "revenue" in name or "agents" in name else None)
            given = {"user_id": whose, **parameters}
            rows = await connection.fetch(f"EXPLAIN {query.sql}", *(given.get(one) for one in names))
            plan = "\n".join(row[0] for row in rows)
            assert not re.search(r"Seq Scan on (transfers|transactions|events)\b", plan), f"{name}:\n{plan}"


async def _fill(connection, count):
    wallet = "w" * 44
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
        ' least_amount, received, agent_id, status, "timestamp")'
        " SELECT 'merchant-' || n % 50, n::text, translate(rpad('', 56, md5(n::text)) || md5(n::text), '0', 'z'), '0',"
        " $2, $2, $3, 'USDC', n, n, n, 'agent-' || n % 100, 'finalized', now() - n * interval '15 minutes'"
        " FROM generate_series(1, $1::int) AS n",
        count, wallet, USDC,
    )  # fmt: skip
    await connection.execute(
        "INSERT INTO events (type, subject, user_id, agent_id, at, data)"
        " SELECT 'claim.finalized', n::text, 'merchant-' || n % 50, 'agent-' || n % 100,"
        " now() - n * interval '1 minute', jsonb_build_object('signature', repeat('s', 88), 'mint', repeat('m', 44))"
        " FROM generate_series(1, $1::int) AS n",
        count,
    )
    await connection.execute("SET session_replication_role = DEFAULT")
    await connection.execute("VACUUM ANALYZE transactions, events")
