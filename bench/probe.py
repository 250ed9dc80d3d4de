"""Samples the ceilings in a separate process beside the measured one: round trips to the node, durable commits.

Run as `python -m bench.probe RPC DSN SIGNATURE AT_ONCE PAUSE_SECONDS SECONDS`; prints `[[round trips], [commits]]`
in seconds. `AT_ONCE` transactions are requested at the same time, like the payments of a slot, and each answer counts.
"""

import asyncio
import sys
import time

import aiohttp
import asyncpg
import msgspec
import uvloop

_INSERT = "INSERT INTO events (type, subject) VALUES ('bench', 'bench')"


async def main(rpc: str, dsn: str, signature: str, at_once: int, pause_seconds: float, seconds: float) -> None:
    """Sample until the time is over."""
    config = {"commitment": "confirmed", "encoding": "base64", "maxSupportedTransactionVersion": 1}
    question = {"jsonrpc": "2.0", "id": 1, "method": "getTransaction", "params": [signature, config]}
    body = msgspec.json.encode(question)
    round_trips: list[float] = []
    commits: list[float] = []
    connection = await asyncpg.connect(dsn)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Content-Type": "application/json"}) as session:

        async def ask(started: float) -> None:
            async with session.post(rpc, data=body) as response:
                await response.read()
            round_trips.append(time.perf_counter() - started)

        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            await asyncio.sleep(pause_seconds)
            started = time.perf_counter()
            await asyncio.gather(*(ask(started) for _ in range(at_once)))
            await asyncio.sleep(pause_seconds)
            started = time.perf_counter()
            await connection.execute(_INSERT)
            commits.append(time.perf_counter() - started)
    await connection.close()
    sys.stdout.buffer.write(msgspec.json.encode([round_trips, commits]))


if __name__ == "__main__":
    rpc, dsn, signature, at_once, *times = sys.argv[1:]
    uvloop.run(main(rpc, dsn, signature, int(at_once), *map(float, times)))
