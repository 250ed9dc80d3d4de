"""`pay402 demo`: the whole system at work, and held against the chain."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

import asyncpg
import typer
from rich.console import Console
from rich.live import Live
from rich.progress import Progress
from rich.table import Table

from cli.demo.claims import Receipt, claim_some, verdicts
from cli.registration import register
from cli.system.processes import SystemSettings, running_system
from ledger.sql import load_queries
from localnet.market import Market, TransferKey, open_market
from runtime.database import open_connection, open_pool
from runtime.errors import OperatorError
from runtime.logging import configure_logging
from runtime.process import run_until_signal
from runtime.settings import SolanaSettings, load

_ROUNDS: Final = 5
_CUTS: Final = 2
_SLOT_SECONDS: Final = 0.2
_WAIT_SECONDS: Final = 30.0
_ROWS_SHOWN: Final = 18

_queries = load_queries("ledger", "report.sql")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The ledger held against what payers did and what accounts hold on chain."""

    chain: int
    ledger: int
    missing: int
    doubled: int
    unexplained: int

    @property
    def is_good(self) -> bool:
        """True when ledger and chain agree in every transfer and every balance."""
        return self.chain == self.ledger and not (self.missing or self.doubled or self.unexplained)

    def line(self) -> str:
        """The demo's last line."""
        return (
            f"demo: chain {self.chain} transfers, ledger {self.ledger}, missing {self.missing}, "
            f"doubled {self.doubled}, unexplained {self.unexplained}"
        )


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
    configure_logging(settings.model_copy(update={"log_level": "warning"}))
    console = _console()

    async def main(stop: asyncio.Event) -> Verdict:
        with console.status("starting") as status:
            system = running_system(
                settings,
                rpc_port=0,
                slot_seconds=_SLOT_SECONDS,
                log_directory=settings.home / "logs",
                say=lambda part: status.update(f"starting {part}"),
                prepare=_empty,
            )
            async with (
                system as parts,
                open_pool(parts.database_url, application="demo", max_size=3) as pool,
                open_market(parts.rpc_url) as market,
            ):
                status.update("giving the payers money")
                await market.prepare()
                solana = SolanaSettings(solana_rpc_url=parts.rpc_url)
                for number, wallet in enumerate(market.wallets, 1):
                    await register(pool, solana, wallet, user="demo", label=f"shop {number}")
                status.stop()
                if once:
                    receipts = await _pay_fixed_round(console, market)
                    verdict = await _judge_when_complete(pool, market)
                    console.print(await _verified(parts.api_url, pool, market, receipts))
                    return verdict
                await _pay_until(stop, console, pool, market)
                return await _judge_when_complete(pool, market)

    verdict = run_until_signal(main, drain_seconds=2 * _WAIT_SECONDS)
    assert verdict is not None
    console.print(verdict.line(), highlight=False, soft_wrap=True)
    if not verdict.is_good:
        raise typer.Exit(1)


def _console() -> Console:
    """The terminal, or wide enough for the ledger's columns where there is none."""
    return Console(width=None if sys.stdout.isatty() else 140)


async def _empty(database_url: str) -> None:
    """Before the indexer knows any of it: it would go on following wallets of another chain."""
    async with open_connection(database_url) as connection:
        await connection.execute("TRUNCATE recipients, token_accounts, transfers, balance_changes, events CASCADE")


async def _pay_fixed_round(console: Console, market: Market) -> list[Receipt]:
    """Pay every kind several times, cutting the indexer's socket in between."""
    receipts = []
    payments = [one for _ in range(_ROUNDS) for one in market.every_kind()]
    cuts = {len(payments) * (n + 1) // (_CUTS + 1) for n in range(_CUTS)}
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("paying", total=len(payments))
        for number, (payment, payer) in enumerate(payments):
            if number in cuts:
                await market.cut_sockets()
            receipts.append(Receipt(await market.pay(payment, payer), payment, payer))
            progress.advance(bar)
            # Spread over many slots, so that a cut falls between payments and not after them all.
            await asyncio.sleep(_SLOT_SECONDS / 3)
    await market.settled()
    return receipts


async def _pay_until(stop: asyncio.Event, console: Console, pool: asyncpg.Pool, market: Market) -> None:
    """Pay a few times a second, showing the ledger, until asked to stop."""
    with Live(console=console, refresh_per_second=4) as live:
        while not stop.is_set():
            for payment, payer in market.every_kind():
                if stop.is_set():
                    break
                await market.pay(payment, payer)
                live.update(await _table(pool, market))
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await stop.wait()
    await market.settled()


async def _judge_when_complete(pool: asyncpg.Pool, market: Market) -> Verdict:
    """The verdict, once it is good or waiting no longer helps."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        verdict = await _judge(pool, market)
        if verdict.is_good or time.monotonic() > deadline:
            console = _console()
            console.print(await _table(pool, market, rows=None))
            console.print(_kinds(market))
            return verdict
        await asyncio.sleep(0.1)


async def _judge(pool: asyncpg.Pool, market: Market) -> Verdict:
    chain = market.expected()
    rows = await _received(pool, market)
    ledger: Counter[TransferKey] = Counter(
        (row["signature"], row["mint"], row["source"], row["destination"], row["credited"]) for row in rows
    )
    balances = await market.balances()
    recorded = {row["account"]: row["post"] async for row in _queries.last_balances(pool, wallets=market.wallets)}
    astray = sum(1 for account, balance in balances.items() if recorded.get(account, 0) != balance)
    return Verdict(
        chain=chain.total(),
        ledger=ledger.total(),
        missing=(chain - ledger).total(),
        doubled=(ledger - chain).total(),
        unexplained=await _queries.unexplained_count(pool) + astray,
    )


async def _received(pool: asyncpg.Pool, market: Market) -> list[Any]:
    return [row async for row in _queries.received(pool, wallets=market.wallets)]


async def _table(pool: asyncpg.Pool, market: Market, rows: int | None = _ROWS_SHOWN) -> Table:
    received = await _received(pool, market)
    tokens = {row["mint"]: row async for row in _queries.token_symbols(pool)}
    names = {wallet: f"shop {number}" for number, wallet in enumerate(market.wallets, 1)}
    table = Table(title=f"The ledger: {len(received)} transfers; on chain: {market.expected().total()}")
    for column in ("slot", "signature", "path", "kind", "to", "amount", "fee", "token", "note"):
        table.add_column(column, justify="right" if column in {"slot", "amount", "fee"} else "left")
    for row in received if rows is None else received[-rows:]:
        symbol, decimals = _token(tokens, row["mint"])
        table.add_row(
            str(row["slot"]),
            f"{row['signature'][:8]}…",
            row["path"],
            row["kind"],
            names[row["destination_owner"]],
            _amount(row["amount"], decimals),
            _amount(row["fee"], decimals) if row["fee"] else "",
            symbol,
            ", ".join(row["memos"]),
        )
    return table


async def _verified(api_url: str, pool: asyncpg.Pool, market: Market, receipts: list[Receipt]) -> Table:
    decimals = {row["mint"]: row["decimals"] async for row in _queries.token_symbols(pool)}
    shops = [recipient.pubkey() for recipient in market.recipients]
    return verdicts(await claim_some(api_url, receipts, shops, decimals))


def _kinds(market: Market) -> Table:
    table = Table("payments", "sent", title="What was paid")
    for kind, count in market.kinds().items():
        table.add_row(kind, str(count))
    return table


def _token(tokens: Mapping[str, Any], mint: str) -> tuple[str, int]:
    known = tokens.get(mint)
    return (known["symbol"] or f"{mint[:4]}…", known["decimals"]) if known else (f"{mint[:4]}…", 0)


def _amount(base_units: int, decimals: int) -> str:
    """Base units as a decimal figure, exactly."""
    if not decimals:
        return str(base_units)
    digits = str(base_units).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}"
