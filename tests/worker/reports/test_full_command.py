"""`pay402 reconcile --full` counts the whole ledger, says what was kept wrong, and mends it."""

from tests.support.command_line import pay402
from tests.support.small_ledger import add_claim, add_merchant, add_transfer


async def test_an_operator_is_shown_what_was_kept_wrong_once(home, net, pool, database_url, redis_url):
    merchant = await add_merchant(pool, "merchant", 60)
    await add_claim(pool, merchant, 5)
    await add_transfer(pool, merchant, 3)
    variables = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": net.rpc_url,
        "SOLANA_WS_URL": net.ws_url,
    }
    first = await pay402("reconcile", "--json", home=home, **variables)
    assert first.json["keptDifferences"] == []
    await pool.execute("UPDATE report_credits SET credited = credited + 1")

    # What is kept is what a report without --full shows.
    (wrong,) = (await pay402("reconcile", "--json", home=home, **variables)).json["byMint"]
    assert wrong["creditedBaseUnits"] == "9"
    full = await pay402("reconcile", "--full", home=home, **variables)
    assert full.code == 0, full.err
    assert "A defect of pay402, mended now: totals of merchant/" in full.out
    again = await pay402("reconcile", "--full", "--json", home=home, **variables)
    assert again.json["keptDifferences"] == []
    (right,) = again.json["byMint"]
    assert (right["creditedBaseUnits"], right["matchedBaseUnits"], right["unmatchedBaseUnits"]) == ("8", "5", "3")
    stored = await pool.fetch("SELECT is_full FROM reconciliation_runs ORDER BY created_at")
    assert [row["is_full"] for row in stored] == [False, False, True, True]
