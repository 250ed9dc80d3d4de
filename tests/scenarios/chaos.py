"""Everything at once, at random from a seed: `python -m tests.scenarios.chaos --rounds 200 --seed 1`.

A round runs a chain with forks, two faulty nodes, an indexer, an API and a worker that are killed at random moments, a
Postgres that is crashed and a Valkey that is flushed and lost meanwhile. Buyers pay, and claim what they paid, each
payment several times. At the end the ledger must equal the chain and prove it, and every payment must have honoured as
many claims as it has transfers. A seed that fails is printed and replays the same decisions.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from localnet import Localnet
from localnet.market import Market
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.logging import configure_logging
from runtime.settings import Settings
from tests.scenarios.claimants import Claimants, claimants
from tests.scenarios.system import (
    IndexerProcess,
    cluster,
    landed,
    ledger_becomes_the_chain,
    merchants,
    whole_audit_is_clean,
)
from tests.scenarios.test_each_fault import FAULTS
from tests.support.api_processes import OwnRedis, own_redis
from tests.support.crashing_postgres import Postgres

# What may happen in a step, and how often in comparison.
ACTIONS = {
    "fault": 5, "heal": 2, "kill": 3, "term": 1, "fork": 3, "crash": 1, "wait": 3,
    "flush": 1, "lose_valkey": 1, "kill_api": 1, "kill_worker": 2,
}  # fmt: skip


async def play(seed: int, postgres: Postgres, valkey: OwnRedis, steps: int, directory: Path) -> dict[str, int]:
    """One round. Raises AssertionError when ledger and chain differ at its end."""
    dice = random.Random(seed)
    name = f"chaos_{seed}"
    async with _admin(postgres) as admin:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {name}")
    dsn = postgres.server.dsn(name)
    await upgrade(dsn)
    counts = {"payments": 0, "faults": 0, "kills": 0, "forks": 0, "crashes": 0, "flushes": 0}
    async with (
        contextlib.AsyncExitStack() as stack,
        cluster(seed) as (honest, nodes),
        open_pool(dsn, application="chaos", max_size=2) as pool,
        merchants(honest, pool) as market,
        claimants(market, pool, dsn, valkey.url, nodes, directory) as buyers,
    ):
        indexer = IndexerProcess(dsn, nodes, stack.enter_context((directory / "indexer.log").open("ab")))
        await indexer.start(wait=dice.random() < 0.5)
        try:
            playing = Round(dice, market, honest, nodes, indexer, buyers, postgres, valkey, counts)
            for _ in range(steps):
                await playing.step()
            for node in nodes:
                node.set_faults(None)
            if indexer.process.returncode is not None:
                await indexer.start()
            await ledger_becomes_the_chain(pool, market, honest, seconds=120)
            counts |= await buyers.judged({signature for signature, *_ in landed(market, honest.chain)})
            assert await indexer.stop() == 0, "SIGTERM drains and exits 0"
        finally:
            await indexer.stop(signal.SIGKILL)
        await whole_audit_is_clean(dsn, honest)
        counts["payments"] = len(market.sent)
    async with _admin(postgres) as admin:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    return counts


@dataclass
class Round:
    """What is at hand in one round; each of ACTIONS is a method."""

    dice: random.Random
    market: Market
    honest: Localnet
    nodes: list[Localnet]
    indexer: IndexerProcess
    buyers: Claimants
    postgres: Postgres
    valkey: OwnRedis
    counts: dict[str, int]

    async def step(self) -> None:
        """A few payments, and something that happens meanwhile."""
        kinds = list(self.market.every_kind())
        for payment, payer in self.dice.sample(kinds, self.dice.randint(1, 5)):
            # A fork may just have taken the money back, or the accounts away: then there is no payment.
            with contextlib.suppress(Exception):
                await self.market.pay(payment, payer)
                self.buyers.claim(self.dice, self.market.sent[-1], payer)
        (action,) = self.dice.choices(list(ACTIONS), list(ACTIONS.values()))
        await getattr(self, action)()
        await asyncio.sleep(self.dice.random() * 0.4)

    async def fault(self) -> None:
        self.dice.choice(self.nodes).set_faults(FAULTS[self.dice.choice(list(FAULTS))])
        self.counts["faults"] += 1

    async def heal(self) -> None:
        self.dice.choice(self.nodes).set_faults(None)

    async def kill(self, number: int = signal.SIGKILL) -> None:
        await self.indexer.stop(number)
        self.counts["kills"] += 1
        await asyncio.sleep(self.dice.random() * 0.5)
        await self.indexer.start(wait=False)

    async def term(self) -> None:
        await self.kill(signal.SIGTERM)

    async def fork(self) -> None:
        dice, chain = self.dice, self.honest.chain
        # So that some of what is undone has been claimed and honoured.
        await asyncio.sleep(dice.random() * 0.3)
        depth = min(dice.randint(1, 8), chain.blocks[-1].height - chain.finalized_height)
        chain.fork(depth, drop=dice.random() * 0.5, reland=dice.random(), reland_after=dice.randint(0, 4),
                   seed=dice.randint(0, 2**32))  # fmt: skip
        self.counts["forks"] += 1

    async def crash(self) -> None:
        await self.postgres.crash()
        self.counts["crashes"] += 1

    async def flush(self) -> None:
        await self.valkey.tell(b"FLUSHALL\r\n")
        self.counts["flushes"] += 1

    async def lose_valkey(self) -> None:
        await self.valkey.stop()
        await asyncio.sleep(self.dice.random() * 0.5)
        await self.valkey.start()
        self.counts["flushes"] += 1

    async def kill_api(self) -> None:
        await self.buyers.kill(self.buyers.api, self.dice.choice((signal.SIGKILL, signal.SIGTERM)))
        self.counts["kills"] += 1

    async def kill_worker(self) -> None:
        await self.buyers.kill(self.buyers.worker, signal.SIGKILL)
        self.counts["kills"] += 1

    async def wait(self) -> None:
        """Nothing happens."""


@contextlib.asynccontextmanager
async def _admin(postgres: Postgres):
    async with open_pool(postgres.server.dsn("postgres"), application="chaos", max_size=1) as admin:
        yield admin


async def run(rounds: int, first_seed: int, steps: int, logs: Path | None = None) -> int:
    """Play rounds with consecutive seeds; the exit code. What the processes say is written to `logs`."""
    with tempfile.TemporaryDirectory(prefix="pay402-chaos-") as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101 - as root, Postgres runs as somebody else
        postgres = Postgres(Path(directory))
        await postgres.start()
        try:
            for seed in range(first_seed, first_seed + rounds):
                started = time.monotonic()
                try:
                    async with own_redis() as valkey:
                        counts = await play(seed, postgres, valkey, steps, logs or Path(directory))
                except BaseException as error:
                    print(f"chaos: seed {seed} FAILED: {error}", flush=True)
                    print(f"replay: make chaos ARGS='--rounds 1 --seed {seed} --steps {steps}'", flush=True)
                    raise
                told = ", ".join(f"{count} {what}" for what, count in counts.items())
                print(f"chaos: seed {seed} good: {told}, {time.monotonic() - started:.1f} s", flush=True)
        finally:
            await postgres.stop()
    return 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--logs", type=Path, help="an existing directory for the logs of the processes")
    options = parser.parse_args()
    configure_logging(Settings(log_level="error"))
    return asyncio.run(run(options.rounds, options.seed, options.steps, options.logs))


if __name__ == "__main__":
    sys.exit(main())
