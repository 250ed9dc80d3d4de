"""`make soak ARGS="--minutes 10"`: the whole system at work while its parts are restarted at random, from a seed.

At the end the ledger must equal the chain transfer by transfer, every payment must have been honoured exactly once,
no process may have grown, and every error must be explained by a fault. A seed that fails replays the same decisions.
"""

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
from solders.keypair import Keypair

from localnet.market import open_market
from runtime.database import open_pool
from runtime.logging import configure_logging
from runtime.settings import Settings
from tests.scenarios.soak.estate import USUAL, Pace, running_estate
from tests.scenarios.soak.faults import STRANGERS_AT_WORK, Happened, Mischief, plan
from tests.scenarios.soak.memory import Watch
from tests.scenarios.soak.report import conclude
from tests.scenarios.soak.trade import Trade
from tests.scenarios.soak.verdict import Soak, judge, wait_until_settled
from tests.scenarios.strangers import Strangers
from tests.support.api_client import Client, key_for
from tests.support.job_shop import Shop
from tests.support.ledger_checks import follow

_REQUEST_SECONDS = 30.0


@contextlib.asynccontextmanager
async def soaked(
    home: Path, *, seed: int, seconds: float, rate: float, gap_seconds: float, pace: Pace = USUAL, say=lambda _: None
):
    """Trade for so long while parts are restarted; yields what is to be judged, everything still running."""
    dice = random.Random(seed)
    async with (
        running_estate(home, pace) as estate,
        open_pool(estate.dsn, application="soak", max_size=1) as pool,
        open_market(estate.rpc_url, payers=4, recipients=3) as market,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_REQUEST_SECONDS)) as http,
    ):
        await market.prepare()
        for wallet in market.wallets:
            await follow(pool, wallet)
        keys = {user: await key_for(pool, user) for user in ("merchant", "client", "provider")}
        callers = {user: Client(estate.api_url, http, key) for user, key in keys.items()}
        job_seconds = seconds / 40 if pace is USUAL else seconds / 4
        settlement = Keypair.from_json(Path(estate.environment["SETTLEMENT_KEYPAIR"]).read_text(encoding="utf-8"))
        strangers = Strangers(
            random.Random(seed), market, {}, lambda: estate.api_url, http, await key_for(pool, "rival"),
            keys["merchant"], liar_node=estate.liar, shop=Shop(pool, market.rpc, settlement),
        )  # fmt: skip
        trade = Trade(market, *callers.values(), dice, rate, job_seconds)
        watch, mischief = Watch(estate), Mischief(estate, market, say, is_hurried=pace is not USUAL)
        watching = asyncio.create_task(watch.run())
        began = time.time()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(trade.go_on(seconds))
                group.create_task(strangers.go_on(seconds))
                group.create_task(mischief.run(plan(seed, seconds, gap_seconds), seconds))
            soak = Soak(seed, seconds, estate, trade, strangers, watch, mischief.happened)
            estate.liar.confess()
            say("waiting until everything is final, audited and paid out")
            await trade.replay_all()
            await wait_until_settled(soak)
            await strangers.give_up({signature for signature, *_ in market.expected()})
            # What strangers do is felt as long as the ledger is asked about it.
            mischief.happened.append(Happened(STRANGERS_AT_WORK, began, time.time()))
        finally:
            watching.cancel()
        yield soak


async def run(options: argparse.Namespace) -> int:
    """Soak and report; the exit code."""
    say = _printed if sys.stdout.isatty() or options.verbose else lambda _: None
    with tempfile.TemporaryDirectory(prefix="pay402-soak-", ignore_cleanup_errors=True) as directory:
        os.chmod(directory, 0o755)  # noqa: PTH101 - as root, Postgres runs as somebody else
        began = time.monotonic()
        async with soaked(
            Path(directory), seed=options.seed, seconds=60 * options.minutes, rate=options.rate,
            gap_seconds=options.gap, say=say,
        ) as soak:  # fmt: skip
            points = await judge(soak)
            is_good = conclude(soak, points)
    print(f"soak: {time.monotonic() - began:.0f} s with start and end; table, soak.json and soak.png in bench/results")
    if not is_good:
        print(f"replay: make soak ARGS='--minutes {options.minutes:g} --seed {options.seed} --rate {options.rate:g} "
              f"--gap {options.gap:g}'")  # fmt: skip
    return 0 if is_good else 1


def _printed(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--rate", type=float, default=5.0, help="payments a second")
    parser.add_argument("--gap", type=float, default=12.0, help="seconds between faults, on average")
    parser.add_argument("--verbose", action="store_true", help="tell each fault as it happens")
    options = parser.parse_args()
    configure_logging(Settings(log_level="error"))
    print(f"soak: seed {options.seed}, {options.minutes:g} minutes", flush=True)
    print(f"replay: make soak ARGS='--minutes {options.minutes:g} --seed {options.seed}'", flush=True)
    return asyncio.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
