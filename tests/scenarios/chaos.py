"""Everything at once, at random from a seed: `python -m tests.scenarios.chaos --rounds 200 --seed 1`.

A round runs a chain with forks, two faulty nodes, an indexer, an API and a worker that are killed at random moments, a
Postgres that is crashed and a Valkey that is flushed and lost meanwhile. Buyers pay, and claim what they paid, each
payment several times. At the end the ledger must equal the chain and prove it, and every payment must have honoured as
many claims as it has transfers. Strangers try to get something for nothing meanwhile, and get nothing: no claim is
honoured without a net gain, of a claim no more goes out than came in, and every lamport of the settlement wallet is
explained. A seed that fails is printed and replays the same decisions.
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

import asyncpg
from solders.keypair import Keypair

from chain.rpc import RpcPool
from localnet import Localnet
from localnet import payments as pay
from localnet.market import Market
from migrations.migrate import upgrade
from runtime.database import open_pool
from runtime.logging import configure_logging
from runtime.settings import Settings
from tests.scenarios.claimants import Claimants, claimants
from tests.scenarios.node_faults import FAULTS
from tests.scenarios.reckoning import (
    lamports_are_explained,
    no_claim_without_a_gain,
    no_invention_was_honoured,
    no_more_out_than_in,
    payouts_have_ended,
)
from tests.scenarios.strangers import STRANGERS, USUAL, Strangers
from tests.scenarios.system import (
    IndexerProcess,
    cluster,
    landed,
    ledger_becomes_the_chain,
    merchants,
    whole_audit_is_clean,
)
from tests.support.api_client import key_for
from tests.support.api_processes import OwnRedis, own_redis
from tests.support.crashing_postgres import Postgres
from tests.support.job_shop import Shop
from tests.support.ledger_checks import follow
from tests.support.lying_node import LyingNode

_STRANGERS_SHARE = 0.5
_JOBS_SHARE = 0.1
# What may happen in a step, and how often in comparison.
ACTIONS = {
    "fault": 5, "heal": 2, "kill": 3, "term": 1, "fork": 3, "crash": 1, "wait": 3,
    "flush": 1, "lose_valkey": 1, "kill_api": 1, "kill_worker": 2,
}  # fmt: skip


async def play(
    seed: int, postgres: Postgres, valkey: OwnRedis, steps: int, directory: Path, strangers_on: frozenset[str]
) -> dict[str, int]:
    """One round. Raises AssertionError when ledger and chain differ at its end, or somebody got money for nothing."""
    dice = random.Random(seed)
    name = f"chaos_{seed}"
    async with _admin(postgres) as admin:
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.execute(f"CREATE DATABASE {name}")
    dsn = postgres.server.dsn(name)
    await upgrade(dsn)
    counts = {"payments": 0, "faults": 0, "kills": 0, "forks": 0, "crashes": 0, "flushes": 0, "jobs": 0}
    async with (
        contextlib.AsyncExitStack() as stack,
        cluster(seed) as (honest, (first, second)),
        LyingNode(first).serve() as liar_node,
        open_pool(dsn, application="chaos", max_size=2) as pool,
        merchants(honest, pool) as market,
        settlement_shop(honest, pool) as shop,
        claimants(market, pool, dsn, valkey.url, [liar_node, second], directory, shop.wallet) as buyers,
    ):
        nodes = [liar_node, second]
        settlement = shop.wallet.pubkey()
        strangers = Strangers(
            dice, market, buyers.proofs, lambda: buyers.api.url, buyers.http, await key_for(pool, "rival"), buyers.key,
            liar_node=liar_node, shop=shop, switched_on=strangers_on,
        )  # fmt: skip
        indexer = IndexerProcess(dsn, nodes, stack.enter_context((directory / "indexer.log").open("ab")))
        await indexer.start(wait=dice.random() < 0.5)
        try:
            playing = Round(dice, market, honest, nodes, indexer, buyers, strangers, shop, postgres, valkey, counts)
            for _ in range(steps):
                await playing.step()
            for node in nodes:
                node.set_faults(None)
            if indexer.process.returncode is not None:
                await indexer.start()
            liar_node.confess()
            wallets = [*market.wallets, str(settlement)]
            await ledger_becomes_the_chain(pool, market, honest, seconds=120, wallets=wallets)
            on_chain = {signature for signature, *_ in landed(market, honest.chain)}
            counts |= await buyers.judged(on_chain)
            await strangers.give_up(on_chain)
            await no_invention_was_honoured(pool, liar_node.invented)
            await payouts_have_ended(pool)
            await no_claim_without_a_gain(pool, honest.chain)
            await no_more_out_than_in(pool)
            await lamports_are_explained(pool, honest.chain, settlement)
            assert not strangers.won, strangers.won
            counts["strangers"] = strangers.acts.total()
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
    strangers: Strangers
    shop: Shop
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
        if self.dice.random() < _STRANGERS_SHARE:
            await self.strangers.act()
        if self.dice.random() < _JOBS_SHARE:
            with contextlib.suppress(Exception):
                await self.job()
        (action,) = self.dice.choices(list(ACTIONS), list(ACTIONS.values()))
        await getattr(self, action)()
        await asyncio.sleep(self.dice.random() * 0.4)

    async def job(self) -> None:
        """An honest client orders a job and pays it; it is done, or cancelled and paid back."""
        order, payer = await self.shop.order(), self.dice.choice(self.market.payers)
        paid = pay.checked(payer.pubkey(), self.shop.wallet.pubkey(), order.price, order.reference, "job")
        await self.market.pay(paid, payer)
        for step in self.dice.choice((("accept", "submit", "approve"), ("cancel",))):
            await order.step(step)
        self.counts["jobs"] += 1

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
        await self.valkey.command(b"FLUSHALL\r\n")
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


@contextlib.asynccontextmanager
async def settlement_shop(honest: Localnet, pool: asyncpg.Pool):
    """A settlement wallet with money for fees, followed like the merchants' wallets."""
    async with RpcPool([honest.rpc_url]) as rpc:
        shop = Shop(pool, rpc, Keypair())
        await shop.prepare()
        # Followed from after its own money is final: that is no payment, and no fork takes it back.
        slot = honest.chain.slot() + 1
        async with asyncio.timeout(30):
            while honest.chain.slot("finalized") < slot:  # noqa: ASYNC110 - the chain ticks by itself
                await asyncio.sleep(0.05)
        await follow(pool, shop.wallet.pubkey(), from_slot=slot)
        yield shop


async def run(
    rounds: int, first_seed: int, steps: int, logs: Path | None = None, strangers_on: frozenset[str] = USUAL
) -> int:
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
                        counts = await play(seed, postgres, valkey, steps, logs or Path(directory), strangers_on)
                except BaseException as error:
                    print(f"chaos: seed {seed} FAILED: {error}", flush=True)
                    without = "".join(
                        [f" --without {name}" for name in sorted(USUAL - strangers_on)]
                        + [f" --with {name}" for name in sorted(strangers_on - USUAL)]
                    )
                    print(f"replay: make chaos ARGS='--rounds 1 --seed {seed} --steps {steps}{without}'", flush=True)
                    raise
                reported = ", ".join(f"{count} {what}" for what, count in counts.items())
                print(f"chaos: seed {seed} good: {reported}, {time.monotonic() - started:.1f} s", flush=True)
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
    leaves_out, takes_in = "leave a stranger out", "take a stranger in who is usually left out"
    parser.add_argument("--without", action="append", default=[], choices=STRANGERS, help=leaves_out)
    parser.add_argument("--with", action="append", default=[], choices=STRANGERS, help=takes_in, dest="also")
    options = parser.parse_args()
    configure_logging(Settings(log_level="error"))
    return asyncio.run(run(options.rounds, options.seed, options.steps, options.logs,
                           (USUAL | set(options.also)) - set(options.without)))  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
