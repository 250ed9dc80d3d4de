"""`pay402 payouts`: what is to be paid out, and signing it elsewhere."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.table import Table
from rich.text import Text

from chain.addresses import NotAWalletError, check_payee
from cli import payout_nonces
from cli.contexts import with_worker_context
from cli.help_style import PLAIN_HELP
from cli.printing import AsJson, amount_column, print_json, print_table, printable
from cli.registration import wallet_address
from ledger.amounts import amount_text
from ledger.payout_exports import nonces_of, payable_twice
from ledger.payout_redirects import REDIRECTABLE, ask_redirect, find_payout
from ledger.states import PayoutStatus
from runtime.errors import OperatorError
from worker.context import WorkerContext
from worker.payouts.exports import Exported, Imported, export_payouts, import_payout
from worker.payouts.rows import ListedPayout, list_payouts, retry_payouts

if TYPE_CHECKING:
    from worker.payouts.offline_signer import Signed

app = typer.Typer(
    help="What is to be paid out: list, export, sign, import, nonce, retry, redirect.",
    no_args_is_help=True,
    **PLAIN_HELP,
)
app.add_typer(payout_nonces.app, name="nonce")

_SHOWN = 1_000
# Wide enough for whole ids, signatures and wallets, which scripts cut out.
_WIDTH_IN_FILES = 320
Ids = Annotated[list[UUID] | None, typer.Argument(help="Only these payouts; all without any")]
LinesAsJson = Annotated[bool, typer.Option("--json", help="For scripts; the lines are JSON without it too")]


async def _warn_of_exports(context: WorkerContext) -> None:
    """Say on standard error which payouts could be paid a second time by what was exported of them."""
    for one in await payable_twice(context.database):
        typer.echo(f"warning: {one.warning}; {one.remedy}", err=True)


@app.command("list")
def list_(
    status: Annotated[PayoutStatus | None, typer.Option(help="Only these")] = None,
    as_json: AsJson = False,
) -> None:
    """List payouts, open ones first.

    Example: pay402 payouts list --status waiting
    """

    async def work(context: WorkerContext) -> tuple[list[ListedPayout], dict[UUID, str]]:
        await _warn_of_exports(context)
        found = await list_payouts(context.database, status=status, limit=_SHOWN)
        return found, await nonces_of(context.database, [one.id for one in found])

    listed, nonces = with_worker_context(work)
    if as_json:
        print_json(listed)
        return
    table = Table("payout", amount_column("amount"), "token", "kind", "recipient", "status", "note", "job")
    for one in listed:
        note = one.waiting_reason or (one.error if one.status != "settled" else one.settled_signature)
        if one.id in nonces:
            note = f"exported under {nonces[one.id]}: void that before you pay it otherwise"
        amount = amount_text(one.amount, one.decimals)
        what = (Text(printable(one.symbol or one.mint)), f"{one.kind} ({one.reason})", one.recipient)
        table.add_row(str(one.id), amount, *what, one.status, Text(note or ""), str(one.job_id))
    print_table(table, names={"token", "recipient", "note", "job"}, width_in_files=_WIDTH_IN_FILES)


@app.command("export")
def export(
    ids: Ids = None,
    nonce_account: Annotated[
        list[str] | None,
        typer.Option(help="A nonce account by which one payout lives until it is signed; repeat it for more payouts"),
    ] = None,
    _as_json: LinesAsJson = False,
) -> None:
    """Print transactions to sign, one JSON line each. They live for about a minute; then export again.

    With a nonce account a signature may take days: see `pay402 payouts nonce create`.

    Example: pay402 payouts export > to-sign.jsonl
    """
    accounts = [wallet_address(one) for one in nonce_account or ()]

    async def work(context: WorkerContext) -> list[Exported]:
        await _warn_of_exports(context)
        return await export_payouts(context, ids or (), nonce_accounts=accounts)

    for exported in with_worker_context(work):
        print_json({name: value for name, value in asdict(exported).items() if value is not None})


@app.command("sign")
def sign(
    keypair: Annotated[Path, typer.Option(help="The secret key of the settlement wallet, a file that you alone read")],
    any_account: Annotated[
        bool, typer.Option("--any-account", help="Also into accounts whose owner cannot be seen without a node")
    ] = False,
    as_json: LinesAsJson = False,
) -> None:
    """Sign exported payouts, where there is no network. Reads them from standard input and prints what `import` takes.

    A line whose transaction does anything else than the line says is not signed.

    Example: pay402 payouts sign --keypair settlement.json < to-sign.jsonl > signed.txt
    """
    # Late, for the other commands sign nothing.
    from runtime.keypairs import read_keypair
    from worker.payouts.offline_signer import NotSignedError, sign_exported, sign_void

    key = read_keypair(str(keypair.absolute()), "--keypair")
    refused = 0
    seen: set[str] = set()
    for number, line in enumerate(filter(None, map(str.strip, sys.stdin)), 1):
        try:
            if voided := sign_void(line, key):
                typer.echo(f"what the nonce account {voided.nonce_account} lets live ends", err=True)
                print_json(voided) if as_json else typer.echo(voided.transaction)
                continue
            signed = sign_exported(line, key, any_account=any_account)
            if signed is not None:
                _refuse_twice(signed, seen)
        except NotSignedError as error:
            refused += 1
            typer.echo(f"line {number} was not signed: {error}", err=True)
            continue
        if signed is None:
            typer.echo(f"line {number} has nothing to sign yet", err=True)
            continue
        typer.echo(f"{signed.gross} base units of {signed.mint} to {signed.recipient}", err=True)
        print_json(signed) if as_json else typer.echo(signed.transaction)
    if refused:
        raise OperatorError(f"{refused} lines were not signed; see above, and do not sign them elsewhere.")


def _refuse_twice(signed: "Signed", seen: set[str]) -> None:
    """Refuse a second signature for a payout or under a nonce: the first may land as well, or is the only one to."""
    from worker.payouts.offline_signer import NotSignedError

    if signed.payout in seen:
        raise NotSignedError(f"the payout {signed.payout} was signed already, in a line above")
    if signed.nonce_account in seen:
        raise NotSignedError(f"the nonce account {signed.nonce_account} serves a payout in a line above")
    seen |= {one for one in (signed.payout, signed.nonce_account) if one is not None}


@app.command("import")
def import_(
    transactions: Annotated[
        list[str] | None, typer.Argument(help="Signed transactions in base64; standard input without any")
    ] = None,
    _as_json: LinesAsJson = False,
) -> None:
    """Take signed transactions; the worker sends them. Each must be what was exported, to the last byte.

    Example: pay402 payouts import < signed.txt
    """
    lines = transactions or [line for line in sys.stdin.read().split() if line]

    async def work(context: WorkerContext) -> list[Imported]:
        await _warn_of_exports(context)
        return [await import_payout(context, line) for line in lines]

    results = with_worker_context(work)
    for result in results:
        print_json(result)
    if refused := [result for result in results if result.refusal]:
        raise OperatorError(
            f"{len(refused)} of {len(results)} transactions were refused: {refused[0].refusal}; see the lines above."
        )


@app.command()
def retry(ids: Ids = None, as_json: AsJson = False) -> None:
    """Try waiting payouts again at once. Do so after what they waited for was mended.

    Example: pay402 payouts retry
    """

    async def work(context: WorkerContext) -> int:
        await _warn_of_exports(context)
        return await retry_payouts(context.database, ids or ())

    retried = with_worker_context(work)
    print_json({"retried": retried}) if as_json else typer.echo(f"{retried} payouts are tried again.")


@app.command()
def redirect(
    payout: Annotated[UUID, typer.Argument(help="A payout that was not signed yet; see `pay402 payouts list`")],
    to: Annotated[str, typer.Option(help="The wallet that is to be paid instead")],
    as_json: AsJson = False,
) -> None:
    """Send a payout that waits to another wallet. The worker does it once nothing of it can reach the old one.

    Example: pay402 payouts redirect 7d444840-9dc0-4fc1-8c4b-0f6a1d6b3a11 --to "$WALLET"
    """
    address = wallet_address(to)

    async def work(context: WorkerContext) -> None:
        await _warn_of_exports(context)
        found = await find_payout(context.database, None, payout)
        if found is None:
            raise OperatorError(f"There is no payout {payout}; see `pay402 payouts list`.")
        if nonce_account := (await nonces_of(context.database, [payout])).get(payout):
            void = f"`pay402 payouts nonce void {nonce_account}`"
            typer.echo(f"what was exported of it still pays {found.recipient} until {void} has landed", err=True)
        if found.status not in REDIRECTABLE:
            raise OperatorError(f"The payout is {found.status}; only one that was not signed yet is sent elsewhere.")
        if found.recipient == address:
            raise OperatorError("The payout goes to that wallet already; give another one.")
        try:
            await check_payee(context.node, address, may_be_of_program=True, paid_by=found.wallet)
        except NotAWalletError as error:
            raise OperatorError(str(error)) from None
        if not await ask_redirect(context.database, found, address, asked_by="operator"):
            raise OperatorError("Another wallet was asked for already; see `pay402 payouts list` until it shows.")

    with_worker_context(work)
    if as_json:
        print_json({"payout": str(payout), "recipient": address})
    else:
        typer.echo(f"The worker sends it to {address} in its next pass.")
