"""`pay402 keys`: what a key demands of proofs."""

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
