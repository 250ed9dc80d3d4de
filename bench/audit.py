"""An audit of followed accounts: the chain of their balances by SQL, and their balances on chain, 100 a call.

The ceiling is making the same RPC calls to the same node and only reading the same balance changes in their order. Each
account has twenty changes in the ledger that were not audited yet, as after a restore. The bound is ten seconds for ten
thousand accounts, because an audit runs once a minute.
"""

import asyncio
import time
from typing import Any, Final

import asyncpg
import uvloop
from solders.pubkey import Pubkey

from bench.conclusion import conclude
from bench.dataset import bench_server
from bench.points import Point
from chain.node import ACCOUNTS_PER_CALL
from chain.programs import TOKEN_PROGRAM
from cli.system.processes import Child
from indexer.context import IndexerContext, open_context
from indexer.settings import IndexerSettings
from localnet import payments as pay
from localnet.payments import USDC
from migrations.migrate import upgrade
from runtime.database import open_connection
from runtime.embedded.postgres import EmbeddedPostgres

_SIZES: Final = (100, 1_000, 10_000)
_CHANGES: Final = 20
_SECONDS_MAX: Final = 0.1  # for a hundred accounts
_ROUNDS: Final = 3
_FUND_AT_ONCE: Final = 200
_FINAL_SECONDS: Final = 3.0

# The balance of each account grows by one at every change, and ends at its balance on chain.
_LEDGER: Final = """
WITH accounts AS (
  SELECT * FROM unnest($1::text[], $2::text[]) AS a (wallet, account)
),
followed AS (
  INSERT INTO recipients (address, user_id, followed_from_slot) SELECT wallet, 'bench', 0 FROM accounts
),
known AS (
  INSERT INTO token_accounts (address, recipient, mint, program) SELECT account, wallet, $3, $4 FROM accounts
)
INSERT INTO balance_changes (signature, account, slot, mint, pre, post, finality)
SELECT left(translate(md5(account || n) || md5(n || account) || md5(account), '0', 'z'), 88), account, n, $3, n - 1, n,
  'finalized'
FROM accounts CROSS JOIN generate_series(1, $5::int) AS n
"""

_READ: Final = """
SELECT sum(post - before) FROM (
  SELECT post, lag(post) OVER (PARTITION BY account ORDER BY slot) AS before
  FROM balance_changes WHERE account = ANY($1::text[])
) AS chain
"""


def run() -> bool:
    """Measure, print, write, draw; true when every audit is within its bound."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure())


async def _measure() -> bool:
    localnet = Child("localnet", ["localnet", "--json", "--port", "0", "--slot-seconds", "0.05"], {})
    rpc_url = (await localnet.start())["rpc"]
    try:
        async with bench_server() as server:
            points = [await _one_size(server, rpc_url, size) for size in _SIZES]
    finally:
        await localnet.stop()
    title = f"An audit, 100 accounts of {_CHANGES} balance changes each; best of {_ROUNDS}"
    return conclude("audit", title, points, size_name="accounts")


async def _one_size(server: EmbeddedPostgres, rpc_url: str, size: int) -> Point:
    name = f"audit_{size}"
    async with open_connection(server.dsn("postgres")) as connection:
        await connection.execute(f"CREATE DATABASE {name}")
    dsn = server.dsn(name)
    await upgrade(dsn)
    wallets = [Pubkey.new_unique() for _ in range(size)]
    async with open_context(IndexerSettings(metrics_port=0), dsn, [rpc_url]) as context:
        for start in range(0, size, _FUND_AT_ONCE):
            await asyncio.gather(
                *(
                    context.node.pool.call("localnet_fundToken", [str(wallet), str(USDC), _CHANGES], Any)
                    for wallet in wallets[start : start + _FUND_AT_ONCE]
                )
            )
        await asyncio.sleep(_FINAL_SECONDS)  # an audit asks for what is finalized
        accounts = [str(pay.token_account(wallet, USDC)) for wallet in wallets]
        async with open_connection(dsn) as connection:
            await _fill(connection, list(map(str, wallets)), accounts)
        audits, ceilings = [], []
        for _ in range(_ROUNDS):
            ceilings.append(await _ceiling(context, accounts))
            await context.database.execute("UPDATE token_accounts SET audited_slot = NULL, audited_balance = NULL")
            started = time.perf_counter()
            report = await context.auditor.audit()
            audits.append(time.perf_counter() - started)
            assert report.accounts == size, report.accounts
            assert not report.findings, report.findings[:3]
    batches = max(size // ACCOUNTS_PER_CALL, 1)
    note = f"{min(audits):.2f} s in all, {report.rpc_calls} RPC calls"
    return Point("audit", size, min(audits) / batches, min(ceilings) / batches, None, _SECONDS_MAX, note)


async def _fill(connection: "asyncpg.Connection[Any]", wallets: list[str], accounts: list[str]) -> None:
    await connection.execute(_LEDGER, wallets, accounts, str(USDC), TOKEN_PROGRAM, _CHANGES)
    await connection.execute("VACUUM ANALYZE balance_changes, token_accounts, recipients")


async def _ceiling(context: IndexerContext, accounts: list[str]) -> float:
    """Only the calls and the reads of an audit, without its proof."""
    started = time.perf_counter()
    for start in range(0, len(accounts), ACCOUNTS_PER_CALL):
        batch = accounts[start : start + ACCOUNTS_PER_CALL]
        await context.node.accounts(batch, commitment="finalized")
        await context.database.fetchval(_READ, batch)
    return time.perf_counter() - started
