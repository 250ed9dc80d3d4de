"""A local ledger that is emptied for a new chain keeps what the schema itself holds."""

from cli.system.local_ledger import match_ledger
from ledger.cluster import name_cluster


async def rows_of_tables(pool):
    names = [
        row["tablename"] for row in await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    return {name: await pool.fetchval(f"SELECT count(*) FROM {name}") for name in names}


async def test_rows_that_migrations_made_are_there_when_the_ledger_is_emptied(pool, database_url):
    made = await rows_of_tables(pool)
    await name_cluster(pool, "another chain", "localnet")
    assert await match_ledger(database_url, "this chain's genesis", is_embedded=True)
    assert await rows_of_tables(pool) == made
