"""`pay402 audit`: hold the ledger against the chain."""

import asyncio
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from chain.rpc import RpcError
from cli.system.localnet_address import solana_endpoints
from indexer.audit import AuditReport
from indexer.context import IndexerContext, open_context
from runtime.embedded import servers as embedded
from runtime.errors import OperatorError
from runtime.logging import configure_logging
from runtime.process import run_until_signal, working
from runtime.settings import IndexerSettings, load

_HEAL_SECONDS = 300.0


def command(
    wallets: Annotated[list[str] | None, typer.Argument(help="Only these wallets; all without any")] = None,
    heal: Annotated[bool, typer.Option("--heal", help="Heal what disagrees, then audit again")] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Prove the whole ledger again, not only since the last good audit")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts")] = False,
) -> None:
    """Prove the ledger complete: by its own balance chain, and against balances on chain.

    The exit code is 1 when an account disagrees. A running indexer heals those by itself; --heal does it here.

    Example: pay402 audit --heal
    """
    settings = load(IndexerSettings)
    configure_logging(settings)
    rpc_urls, _ = solana_endpoints(settings)

    async def main(stop: asyncio.Event) -> AuditReport:
        async with embedded.database(settings) as dsn, open_context(settings, dsn, rpc_urls) as context:
            if unknown := set(wallets or ()) - (await context.accounts.wallets()).keys():
                raise OperatorError(f"Not followed: {', '.join(sorted(unknown))}; see `pay402 recipients list`.")
            try:
                if heal:
                    await context.load(only=wallets or ())
                report = await context.auditor.audit(wallets or (), whole=whole)
                if heal and report.findings:
                    await _heal(context, stop)
                    report = await context.auditor.audit(wallets or (), whole=whole)
            except RpcError as error:
                raise OperatorError(
                    f"The chain cannot be asked: {error}; correct SOLANA_RPC_URL or try again."
                ) from error
            return report

    report = run_until_signal(main)
    assert report is not None
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
    else:
        _print(report)
    if report.findings:
        raise typer.Exit(1)


async def _heal(context: IndexerContext, stop: asyncio.Event) -> None:
    """Walk the histories of what disagreed, until done or asked to stop."""
    async with working(context.healer.run()):
        async with asyncio.timeout(_HEAL_SECONDS):
            while not (context.heal_queue.is_idle or stop.is_set()):  # noqa: ASYNC110 - the healer has no end to wait for
                await asyncio.sleep(0.1)


def _print(report: AuditReport) -> None:
    console = Console()
    if not report.findings:
        console.print(
            f"{report.accounts} accounts agree with the chain at slot {report.slot} ({report.rpc_calls} RPC calls)."
        )
        return
    table = Table("account", "wallet", "drift (base units)", "gaps", title="Ledger and chain disagree")
    for finding in report.findings:
        table.add_row(finding.account, finding.wallet, str(finding.drift), str(finding.gaps))
    console.print(table)
    console.print("Run `pay402 audit --heal`, or let a running indexer heal them.")
