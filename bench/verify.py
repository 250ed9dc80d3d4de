"""Verifications a second, compared with a route that does nothing in the same process and with the same body.

One uvicorn worker, durable commits, a load generator in a separate process. Each verification is of another
payment, so no answer comes from memory. The same statements are also measured without HTTP, one payment at a time on as
many connections as the API may open: the most that a server without batches could get from the database.

Rates are the best of a few rounds, because another load on the machine makes them lower and never higher. Latencies are
those of all rounds together.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import msgspec
from rich.console import Console
from rich.table import Table
from solders.keypair import Keypair
from solders.signature import Signature

from bench.claiming import claim
from bench.keys import new_key
from bench.load import Sent
from bench.plot import draw
from bench.points import Point
from bench.report import write_result
from localnet.payments import USDC
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.embedded.servers import embedded_postgres, embedded_valkey

_RATIO_MAX: Final = 0.5
_P99_MS_MAX: Final = 25.0
_CONNECTIONS: Final = (1, 16, 64)
_JUDGED_CONNECTIONS: Final = 16
_REQUESTS: Final = {1: 1_000, 16: 6_000, 64: 6_000}
_WARM_UP: Final = 300
_ROUNDS: Final = 3
_CONNECTIONS_MAX: Final = 16
_UNCLAIMED: Final = """
SELECT t.signature, t.path, t.source_owner, t.destination_owner, t.mint, t.amount, r.user_id, k.symbol
FROM transfers AS t JOIN recipients AS r ON r.address = t.destination_owner JOIN tokens AS k USING (mint)
WHERE t.signature = ANY($1::text[])
"""
_AMOUNT: Final = 10_000
_TOKEN_PROGRAM: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105 - a program, no password


class _Round(msgspec.Struct):
    """The rates of one round: a route that does nothing, verifications, and claims a second by the statements alone."""

    ceiling: Sent
    measured: Sent
    statements: float


def run() -> bool:
    """Measure, print, write; true when ratio and latency are within their bounds."""
    return asyncio.run(_measure())


async def _measure() -> bool:
    with tempfile.TemporaryDirectory(prefix="pay402-bench-") as directory:
        home = Path(directory)
        async with embedded_postgres(home) as dsn, embedded_valkey(home) as redis_url:
            await upgrade(dsn)
            payer, wallet = Keypair(), Keypair()
            async with open_pool(dsn, application="bench", max_size=2) as pool:
                key = await _prepare(pool, str(wallet.pubkey()))
                async with _server(dsn, redis_url) as (host, port):

                    async def one_round(connections: int) -> _Round:
                        proofs = await _paid(pool, payer, str(wallet.pubkey()), _REQUESTS[connections] + _WARM_UP)
                        noop = [_request("/bench/noop", proof, key) for proof in proofs]
                        verify = [_request("/verify", proof, key) for proof in proofs]
                        await _send(home, host, port, noop[:_WARM_UP], connections)
                        await _send(home, host, port, verify[:_WARM_UP], connections)
                        ceiling = await _send(home, host, port, noop[_WARM_UP:], connections)
                        measured = await _send(home, host, port, verify[_WARM_UP:], connections)
                        statements = await _statements(dsn, payer, str(wallet.pubkey()), connections)
                        return _Round(ceiling, measured, statements)

                    rounds = {
                        connections: [await one_round(connections) for _ in range(_ROUNDS)]
                        for connections in _CONNECTIONS
                    }
    return _report(rounds)


async def _prepare(pool: asyncpg.Pool, wallet: str) -> str:
    """A merchant with a wallet and a key."""
    await pool.execute(
        "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, 'merchant', 0)", wallet
    )
    return await new_key(pool, "merchant", "read", "write")


async def _paid(pool: asyncpg.Pool, payer: Keypair, wallet: str, count: int) -> list[dict[str, Any]]:
    """So many payments in the ledger, each with its proof."""
    source, mint = str(payer.pubkey()), "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
    assert mint == str(USDC)
    signatures = [str(Signature(os.urandom(64))) for _ in range(count)]
    rows = [
        (
            s,
            "0",
            1_000 + n,
            "transfer",
            _TOKEN_PROGRAM,
            mint,
            source,
            wallet,
            source,
            wallet,
            source,
            _AMOUNT,
            "finalized",
        )
        for n, s in enumerate(signatures)
    ]
    columns = (
        "signature, path, slot, kind, program, mint, source, destination, source_owner, destination_owner, authority, "
        "amount, finality"
    )
    async with pool.acquire() as connection:
        await connection.executemany(
            f"INSERT INTO transfers ({columns}) "  # noqa: S608 - names of ours
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            rows,
        )
        await connection.execute("VACUUM ANALYZE transfers")
    return [_proof(payer, signature) for signature in signatures]


def _proof(payer: Keypair, transaction: str) -> dict[str, Any]:
    nonce = os.urandom(16).hex()
    return {
        "signature": str(payer.sign_message(nonce.encode())),
        "payer": str(payer.pubkey()),
        "amount": 0.01,
        "currency": "USDC",
        "nonce": nonce,
        "timestamp": time.time_ns() // 1_000_000,
        "transactionId": transaction,
        "resource": "/api/data",
    }


def _request(path: str, body: dict[str, Any], key: str) -> bytes:
    raw = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nx-api-key: {key}\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


@asynccontextmanager
async def _server(dsn: str, redis_url: str) -> AsyncIterator[tuple[str, int]]:
    environment = {
        **os.environ,
        "DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        "SOLANA_RPC_URL": "http://127.0.0.1:9",
        "PORT": "0",
        "VERIFY_RATE_LIMIT": "100000000",
        "LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.verify_server", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        where = urlsplit(json.loads(await process.stdout.readline())["api"])
        assert where.hostname is not None
        assert where.port is not None
        yield where.hostname, where.port
    finally:
        process.terminate()
        await process.wait()


async def _send(home: Path, host: str, port: int, requests: list[bytes], connections: int) -> Sent:
    file = home / "requests"
    file.write_bytes(msgspec.msgpack.encode(requests))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        host,
        str(port),
        str(connections),
        str(file),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return msgspec.json.decode(out, type=Sent)


async def _statements(dsn: str, payer: Keypair, wallet: str, connections: int) -> float:
    """Payments claimed a second by their statements alone, one by one on each connection."""
    connections = min(connections, _CONNECTIONS_MAX)
    async with open_pool(
        dsn, application="bench", min_size=connections, max_size=connections, by_keys_alone=True
    ) as pool:
        proofs = await _paid(pool, payer, wallet, _REQUESTS[connections] // 2)
        found = await pool.fetch(_UNCLAIMED, [proof["transactionId"] for proof in proofs])
        waiting = iter(found)

        async def caller() -> None:
            async with pool.acquire() as connection:
                for payment in waiting:
                    await claim(connection, payment)

        started = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(connections)))
        return len(found) / (time.perf_counter() - started)


def _report(measured: dict[int, list[_Round]]) -> bool:
    table = Table(title="Verifications against a route that does nothing, in one process")
    columns = ("connections", "no-op/s", "verify/s", "ratio", "bound", "SQL alone/s", "p50 ms", "p99 ms", "bound")
    for column in (*columns, "honoured"):
        table.add_column(column, justify="right")
    results, is_good, points = [], True, []
    for connections, rounds in measured.items():
        rates = [
            max(len(sent.latencies) / sent.seconds for sent in sents)
            for sents in ([one.ceiling for one in rounds], [one.measured for one in rounds])
        ]
        statements = max(one.statements for one in rounds)
        ratio = rates[1] / rates[0]
        latencies = [seconds for one in rounds for seconds in one.measured.latencies]
        p50, p99 = (1000 * statistics.quantiles(latencies, n=100)[n] for n in (49, 98))
        honoured = sum(one.measured.statuses.get("200", 0) for one in rounds)
        is_judged = connections == _JUDGED_CONNECTIONS
        is_good = is_good and honoured == len(latencies)
        if is_judged:
            is_good = is_good and ratio >= _RATIO_MAX and p99 < _P99_MS_MAX
        bounds = (f"{_RATIO_MAX:.2f}", f"{_P99_MS_MAX:.0f}") if is_judged else ("", "")
        table.add_row(
            str(connections),
            *(f"{rate:.0f}" for rate in rates),
            f"{ratio:.2f}",
            bounds[0],
            f"{statements:.0f}",
            f"{p50:.2f}",
            f"{p99:.2f}",
            bounds[1],
            f"{honoured} of {len(latencies)}",
        )
        results.append(
            {
                "connections": connections,
                "noop": rates[0],
                "verify": rates[1],
                "ratio": ratio,
                "statementsAlone": statements,
                "p50ms": p50,
                "p99ms": p99,
            }
        )
        points.append(Point("verification", connections, 1 / rates[1], 1 / rates[0]))
        points.append(Point("its SQL alone", connections, 1 / statements, 1 / rates[0]))
    Console(width=120).print(table)
    write_result("verify", results)
    draw("verify", "A verification, and a route that does nothing", points, "connections")
    return is_good
