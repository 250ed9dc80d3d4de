"""`pay402 backfill`: record a stretch of history."""

import asyncio
import datetime as dt
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from chain.addresses import is_signature
from chain.rpc import RpcError
from cli.contexts import with_indexer_context
from cli.printing import AsJson, print_json
from indexer.backfill import (
    BackfillRefusedError,
    BackfillSummary,
    backfill_accounts,
    backfill_signatures,
    first_slot_since,
    last_slot_until,
)
from indexer.context import IndexerContext
from indexer.history import IncompleteHistoryError
from runtime.errors import OperatorError


def command(
    recipient: Annotated[list[str] | None, typer.Option(help="A followed wallet; all without any")] = None,
    signature: Annotated[list[str] | None, typer.Option(help="Only this transaction; may be repeated")] = None,
    from_slot: Annotated[int | None, typer.Option(help="First slot; default: where following began", min=0)] = None,
    to_slot: Annotated[int | None, typer.Option(help="Last slot; default: the newest", min=0)] = None,
    since: Annotated[dt.datetime | None, typer.Option(help="First moment, UTC, instead of --from-slot")] = None,
    until: Annotated[dt.datetime | None, typer.Option(help="Last moment, UTC, instead of --to-slot")] = None,
    as_json: AsJson = False,
) -> None:
    """Record a stretch of history again or for the first time; what is recorded already is left alone.

    Safe to repeat and to kill. Refuses what the node does not have any more.

    Example: pay402 backfill --recipient 7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q --from-slot 250000000
    """
    _refuse_contradictions(signature, from_slot, to_slot, since, until, recipient)

    async def work(context: IndexerContext, _: asyncio.Event) -> BackfillSummary:
        try:
            await context.load(only=recipient or ())
            if signature:
                return await backfill_signatures(context, signature, _print_failure)
            first = await first_slot_since(context, _seconds(since)) if since else from_slot
            last = await last_slot_until(context, _seconds(until)) if until else to_slot
            return await _accounts(context, first, last)
        except BackfillRefusedError as error:
            raise OperatorError(f"Refused: {error}; ask an archive node, or for less.") from error
        except (RpcError, IncompleteHistoryError) as error:
            raise OperatorError(f"The history cannot be read: {error}; run the same command again.") from error

    summary = with_indexer_context(work, level="error")
    if as_json:
        print_json(summary)
    else:
        typer.echo(
            f"found {summary.found} transactions: {summary.new} new, {summary.known} already known, "
            f"{summary.failed} failed"
        )
    if summary.failed:
        raise typer.Exit(1)


def _refuse_contradictions(
    signatures: list[str] | None,
    from_slot: int | None,
    to_slot: int | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    recipients: list[str] | None,
) -> None:
    """Refuse what cannot be meant, before anything is opened.

    Raises:
        OperatorError: Two options contradict each other, or a value is none.
    """
    if signatures and any(given is not None for given in (from_slot, to_slot, since, until, recipients or None)):
        raise OperatorError("--signature means single transactions; leave out every other choice of what to record.")
    for signature in signatures or ():
        if not is_signature(signature):
            raise OperatorError(f"{signature} is no signature, which is 64 bytes in base58; copy it whole.")
    for by_slot, by_time, names in (
        (from_slot, since, "--from-slot and --since"),
        (to_slot, until, "--to-slot and --until"),
    ):
        if by_slot is not None and by_time is not None:
            raise OperatorError(f"{names} say the same in two ways; give one of them.")
    if from_slot is not None and to_slot is not None and from_slot > to_slot:
        raise OperatorError(f"--from-slot {from_slot} is later than --to-slot {to_slot}; exchange them.")
    if since is not None and until is not None and _seconds(since) > _seconds(until):
        raise OperatorError("--since is later than --until; exchange them.")
    if since is not None and _seconds(since) > time.time():
        raise OperatorError("--since lies in the future, where there is no history; give an earlier moment in UTC.")


def _print_failure(signature: str, reason: str) -> None:
    typer.echo(f"{signature} is not recorded: {reason}; ask an archive node.", err=True)


async def _accounts(context: IndexerContext, first: int | None, last: int | None) -> BackfillSummary:
    accounts = list(context.watchlist.accounts)
    if not accounts:
        raise OperatorError("There is no such followed wallet; see `pay402 recipients list`.")
    if first is None:
        first = min(context.watchlist.first_slot(account) for account in accounts)
    if last is not None and last < first:
        raise OperatorError(f"The stretch ends at slot {last}, before it begins at slot {first}; give --from-slot.")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("accounts, {task.fields[rows]} transactions"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("backfill", total=len(accounts), rows=0)
        return await backfill_accounts(
            context,
            accounts,
            first,
            last,
            progress=lambda summary, done: bars.update(bar, completed=done, rows=summary.found),
        )


def _seconds(moment: dt.datetime) -> int:
    return int(moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp())
