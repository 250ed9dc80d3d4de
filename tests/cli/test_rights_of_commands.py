"""Which login each command needs, as the runbook's table has it: an operator who has another is told, in a sentence."""

import re
from pathlib import Path

import pytest

from chain.rpc import RpcPool
from cli.main import COMMANDS
from ledger.cluster import name_cluster, named_cluster
from ledger.tokens import NATIVE_SOL
from runtime.cluster import GENESIS_HASHES, WRONG_CLUSTER
from tests.support.command_line import pay402
from tests.support.databases import execute
from tests.support.ledger_rows import NO_NODE

WALLET = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"
OTHER = "4Nd1mBQtrMJVYVfKf2PJy9NZUZdTAsp7D4xWLs4gDB4T"
SERVICE = "7d444840-9dc0-4fc1-8c4b-0f6a1d6b3a11"
RUNBOOK = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
TABLE = RUNBOOK.partition("\n## Commands\n")[2].partition("\n## ")[0]
# By the role of the login, the commands that the runbook says it may run.
RUN_AS = {
    role: re.findall(r"`([a-z]+)`", commands)
    for role, commands in re.findall(r"^\| `pay402_([a-z]+)` \| (.*?) \|", TABLE, re.MULTILINE)
}
# With arguments that do something.
CALLS = {
    "doctor": [("doctor", "--at-rest")],
    "keys": [("keys", "create"), ("keys", "list")],
    "recipients": [
        ("recipients", "add", OTHER),
        ("recipients", "list"),
        ("recipients", "for-tests", OTHER),
        ("recipients", "remove", OTHER),
    ],
    "services": [("services", "list"), ("services", "for-tests", SERVICE)],
    "seed": [("seed",)],
    "payments": [("payments", "list")],
    "events": [("events", "list")],
    "webhooks": [("webhooks", "add", "http://127.0.0.1:9/hooks"), ("webhooks", "list")],
    "audit": [("audit", "--heal", "--whole")],
    "backfill": [("backfill", "--from-slot", "0")],
    "reconcile": [("reconcile",), ("reconcile", "--full")],
    "expire": [("expire",)],
    "settle": [("settle",)],
    "payouts": [("payouts", "list"), ("payouts", "export"), ("payouts", "retry")],
}


@pytest.fixture
async def variables(postgres, database_url, redis_url, net):
    """Everything but DATABASE_URL, which is given by role."""
    await execute(
        database_url,
        f"INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ('{WALLET}', 'shop', 0);"
        "INSERT INTO token_accounts (address, recipient, mint, program)"
        f" VALUES ('{WALLET}', '{WALLET}', '{NATIVE_SOL}', '{NATIVE_SOL}');"
        "INSERT INTO agent_services (id, user_id, agent_id, payout_address, name, category, pricing_model,"
        " price_amount, price_mint, price_currency)"
        f" SELECT '{SERVICE}', 'shop', 'shop', '{WALLET}', 'Trials', 'ai', 'fixed', 5, mint, symbol FROM tokens"
        " WHERE symbol IS NOT NULL LIMIT 1",
    )
    return {
        "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": net.rpc_url,
        "SOLANA_WS_URL": net.ws_url,
        "SETTLEMENT_WALLET": WALLET,
    }


@pytest.fixture
async def login(database_url):
    """The address with a login of a role; logins belong to the server, so they are gone afterwards."""
    made = []

    async def of(role):
        name = f"operator_{role}"
        await execute(database_url, f"CREATE ROLE {name} LOGIN IN ROLE pay402_{role}")
        made.append(name)
        return database_url.replace("postgres@", f"{name}@")

    yield of
    for name in made:
        await execute(database_url, f"DROP ROLE {name}")


def test_the_runbook_has_every_command_once():
    assert sorted(command for commands in RUN_AS.values() for command in commands) == sorted(CALLS)
    of_the_owner = {"migrate", "backup", "restore", "export"}
    of_no_login = {"up", "demo", "localnet", "api", "indexer", "worker", "decode"}
    assert set(CALLS) | of_the_owner | of_no_login == set(COMMANDS)


@pytest.mark.parametrize("role", RUN_AS)
async def test_a_login_may_run_what_the_runbook_says(home, variables, login, role):
    dsn = await login(role)
    for command in RUN_AS[role]:
        for call in CALLS[command]:
            done = await pay402(*call, home=home, DATABASE_URL=dsn, **variables)
            assert done.code == 0, (call, done.out, done.err)


@pytest.mark.parametrize(
    ("role", "call"), [("worker", ("keys", "list")), ("api", ("audit",)), ("worker", ("export", "claims"))]
)
async def test_whoever_lacks_a_right_is_shown_which_and_that_it_is_no_defect(home, variables, login, role, call):
    refused = await pay402(*call, home=home, DATABASE_URL=await login(role), **variables)
    refused.assert_refused("permission denied for", "docs/runbook.md")


@pytest.mark.parametrize(
    ("role", "call"),
    [("indexer", ("audit",)), ("worker", ("reconcile",)), ("worker", ("settle",)), ("worker", ("payouts", "export"))],
)
async def test_the_first_command_that_asks_a_node_names_the_cluster(home, variables, login, pool, net, role, call):
    assert await named_cluster(pool) is None
    done = await pay402(*call, home=home, DATABASE_URL=await login(role), **variables)
    assert done.code == 0, done.err
    assert await named_cluster(pool) == await genesis_of(net)


@pytest.mark.parametrize("role", ["api", "worker"])
@pytest.mark.parametrize("call", [("reconcile",), ("settle",), ("payouts", "export"), ("audit",), ("backfill",)])
async def test_a_command_that_asks_a_node_of_another_chain_is_refused(home, variables, login, pool, role, call):
    await name_cluster(pool, "another chain's", "localnet")
    refused = await pay402(*call, home=home, DATABASE_URL=await login(role), **variables)
    refused.assert_refused("The ledger is about another chain", code=WRONG_CLUSTER)


@pytest.mark.parametrize("role", ["api", "worker"])
async def test_examples_are_seeded_without_a_node_but_on_the_network_of_the_ledger_alone(
    home, variables, login, pool, role
):
    variables |= {"DATABASE_URL": await login(role), "SOLANA_RPC_URL": NO_NODE}
    seeded = await pay402("seed", "--json", home=home, **variables)
    assert seeded.json["added"] > 3
    assert await named_cluster(pool) is None
    await name_cluster(pool, GENESIS_HASHES["devnet"], "devnet")
    refused = await pay402("seed", home=home, **variables)
    refused.assert_refused("The ledger is about devnet, but SOLANA_NETWORK is localnet", code=WRONG_CLUSTER)


async def genesis_of(net):
    async with RpcPool([net.rpc_url]) as rpc:
        return await rpc.call("getGenesisHash", [], str)
