"""`pay402 keys`: what a key demands of proofs, how it is replaced and listed."""

import json

import asyncpg
import pytest

from tests.support.command_line import pay402


@pytest.mark.parametrize(("option", "version"), [((), 1), (("--require-proof-version", "2"), 2)])
async def test_an_operator_makes_a_key_that_demands_bound_proofs(home, database_url, option, version):
    made = json.loads((await pay402("keys", "create", "--json", *option, home=home, DATABASE_URL=database_url)).out)
    connection = await asyncpg.connect(database_url)
    try:
        kept = await connection.fetchval("SELECT proof_version FROM api_keys WHERE key_prefix = $1", made["keyPrefix"])
    finally:
        await connection.close()
    assert kept == version


async def test_a_version_that_does_not_exist_is_refused(home, database_url):
    refused = await pay402("keys", "create", "--require-proof-version", "3", home=home, DATABASE_URL=database_url)
    assert refused.code != 0
    assert "--require-proof-version" in refused.err


async def test_a_rotated_key_may_do_the_same_and_the_old_one_ends_after_its_grace(home, database_url, pool):
    async def keys(*arguments):
        return await pay402("keys", *arguments, home=home, DATABASE_URL=database_url)

    old = (await keys("create", "--user", "shop", "--read-only", "--final-only", "--json")).json["keyPrefix"]
    new = (await keys("rotate", old, "--grace-hours", "2", "--json")).json
    assert new["apiKey"].startswith(new["keyPrefix"])
    assert (new["userId"], new["replaces"]) == ("shop", old)
    rows = {row["key_prefix"]: row for row in await pool.fetch("SELECT * FROM api_keys")}
    for column in ("user_id", "name", "environment", "permissions", "final_only", "proof_version", "expires_at"):
        assert rows[old][column] == rows[new["keyPrefix"]][column]
    assert rows[old]["replaced_by"] == new["keyPrefix"]
    left = await pool.fetchval("SELECT revoked_at - clock_timestamp() FROM api_keys WHERE key_prefix = $1", old)
    assert 3_600 < left.total_seconds() <= 7_200
    # Which of two successors would be the right one, nobody could say.
    (await keys("rotate", old)).assert_refused(old, "keys create")
    (await keys("rotate", "sk_live_0000000000")).assert_refused("sk_live_0000000000", "keys list")
    listed = await pay402("keys", "list", home=home, DATABASE_URL=database_url, COLUMNS="80")
    assert old in listed.out
    assert new["keyPrefix"] in listed.out
