"""`pay402 demo`: the whole system at work, and held against the chain."""

import asyncio
from typing import Annotated, Final

import typer

from cli.demo.ledger_table import claims_table, kinds_table, ledger_table
from cli.demo.payments import SLOT_SECONDS, pay_fixed_round, pay_until
from cli.demo.verdict import WAIT_SECONDS, Verdict, judge_when_complete
from cli.demo.x402_purchase import buy_over_x402
from cli.errors import INTERRUPTED
from cli.printing import console
from cli.registration import register
from cli.running import until_stopped
from cli.system.processes import SystemSettings, running_system
from localnet.market import open_market
from runtime.database import open_pool
from runtime.errors import OperatorError
from runtime.logging import configure_logging
from runtime.process import run_until_signal
from runtime.settings import SolanaSettings, load

_USER: Final = "demo"


def command(
    once: Annotated[bool, typer.Option("--once", help="Pay a fixed round, print the ledger, exit")] = False,
) -> None:
    """Start everything embedded, let payers pay in every way there is, and show the ledger fill.

    With --once, a fixed round is paid while the indexer's socket is cut twice, and some of it is claimed through the
    API; the exit code is 0 only if ledger and chain agree.

    Example: pay402 demo --once
    """
    settings = load(SystemSettings)
    if settings.rpc_urls:
        raise OperatorError("The demo pays on its own localnet; unset SOLANA_RPC_URL and run it again.")
    # The demo's ledger starts empty each time, and never mixes with one that is in use.
    settings = settings.model_copy(update={"home": settings.home / "demo", "database_url": None})
    configure_logging(settings.model_copy(update={"log_level": "warning"}), "system")
    output = console(140)

    async def main(stop: asyncio.Event) -> Verdict:
        with output.status("starting") as status:
            system = running_system(
                settings,
                rpc_port=0,
                slot_seconds=SLOT_SECONDS,
                log_directory=settings.home / "logs",
                say=lambda part: status.update(f"starting {part}"),
            )
            async with (
                system as running,
                open_pool(running.database_url, application="demo", max_size=3) as pool,
                open_market(running.rpc_url) as market,
            ):
                status.update("giving the payers money")
                await market.prepare()
                solana = SolanaSettings(solana_rpc_url=running.rpc_url)
                for number, wallet in enumerate(market.wallets, 1):
                    await register(pool, solana, wallet, user=_USER, label=f"shop {number}")
                status.stop()
                if once:
                    paying = pay_fixed_round(output, market)
                    receipts = await until_stopped(stop, paying, "The demo", exit_code=INTERRUPTED)
                    bought = await buy_over_x402(running.api_url, market)
                    verdict = await judge_when_complete(pool, market)
                    output.print(await ledger_table(pool, market, rows=None))
                    output.print(kinds_table(market))
                    output.print(await claims_table(running.api_url, _USER, pool, market, receipts, bought))
                    return verdict
                await buy_over_x402(running.api_url, market)
                await pay_until(stop, output, pool, market)
                verdict = await judge_when_complete(pool, market)
                output.print(await ledger_table(pool, market, rows=None))
                output.print(kinds_table(market))
                return verdict

    verdict = run_until_signal(main, drain_seconds=2 * WAIT_SECONDS)
    assert verdict is not None
    output.print(verdict.line(), highlight=False, soft_wrap=True)
    if not verdict.is_good:
        raise typer.Exit(1)
