"""`pay402 audit`: hold the ledger against the chain."""

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from cli.contexts import with_indexer_context
from cli.printing import AsJson, amount_column, print_json, print_table, shown_waiting
from indexer.audit import AuditReport
from indexer.context import IndexerContext
from runtime.errors import OperatorError
from runtime.process import working

_HEAL_SECONDS = 300.0


def command(
    wallets: Annotated[list[str] | None, typer.Argument(help="Only these wallets; all without any")] = None,
    heal: Annotated[bool, typer.Option("--heal", help="Heal what disagrees, then audit again")] = False,
    whole: Annotated[
        bool, typer.Option("--whole", help="Prove the whole ledger again, not only since the last good audit")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove the ledger complete: by its own balance chain, and against balances on chain.

    The exit code is 1 when an account disagrees, or is not proven: because too few nodes say how far the chain is, the
    one that answers is behind what is proven already, or the account is being healed. A running indexer heals what
    disagrees by itself; --heal does it here.

    Example: pay402 audit --heal
    """

    async def work(context: IndexerContext, stop: asyncio.Event) -> AuditReport:
        if unknown := set(wallets or ()) - (await context.accounts.wallets()).keys():
            raise OperatorError(f"Not followed: {', '.join(sorted(unknown))}; see `pay402 recipients list`.")
        if heal:
            await context.load(only=wallets or ())
        report = await context.auditor.audit(wallets or (), whole=whole)
        if heal and (report.findings or report.unproven):
            await _heal(context, stop)
            report = await context.auditor.audit(wallets or (), whole=whole)
        return report

    with shown_waiting("asking the chain for every account"):
        report = with_indexer_context(work)
    if as_json:
        print_json(report)
    else:
        _print(report)
    if report.findings or report.unproven:
        raise typer.Exit(1)


async def _heal(context: IndexerContext, stop: asyncio.Event) -> None:
    """Walk the histories of what disagreed, until done or asked to stop."""
    async with working(context.healer.run()):
        async with asyncio.timeout(_HEAL_SECONDS):
            while not (context.heal_queue.is_idle or stop.is_set()):  # noqa: ASYNC110 - the healer has no end to wait for
                await asyncio.sleep(0.1)


def _print(report: AuditReport) -> None:
    if report.unproven:
        typer.echo(
            f"{report.unproven} of {report.accounts} accounts are not proven at slot {report.slot}: too few nodes have "
            "come so far, more is proven already, or they are being healed. Run `pay402 doctor`, then this again."
        )
    elif not report.findings:
        typer.echo(
            f"{report.accounts} accounts agree with the chain at slot {report.slot} ({report.rpc_calls} RPC calls)."
        )
    if not report.findings:
        return
    table = Table("account", "wallet", amount_column("drift (base units)"), "gaps", title="Ledger and chain disagree")
    for one in report.findings:
        table.add_row(one.account, one.wallet, str(one.drift), str(one.gaps))
    print_table(table, names={"wallet"})
    typer.echo("Run `pay402 audit --heal`, or let a running indexer heal them.")
