"""How recorded payments are printed: a table, a line each, all that is known of one, or JSON."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import typer
from rich.table import Table
from rich.text import Text

from cli.printing import amount_column, print_table, printable, short_name, time_text
from ledger.amounts import amount_text
from ledger.tokens import TokenOfMint
from ledger.transfers import RecordedTransfer

Tokens = Mapping[str, TokenOfMint]

_FINALITY: Final = {"pending": "pending", "confirmed": "confirmed", "finalized": "final", "orphaned": "reversed"}
# Wide enough for whole signatures and wallets, which scripts cut out.
_WIDTH_IN_FILES: Final = 240


def print_list(transfers: Sequence[RecordedTransfer], tokens: Tokens) -> None:
    """Print a table of transfers, with whole signatures and wallets where it is wide enough for them."""
    table = Table("time (UTC)", amount_column("amount"), "token", "status", "from", "signature", "nonce")
    for one in transfers:
        token = tokens[one.mint]
        table.add_row(
            time_text(one.block_time),
            amount_text(one.credited, token.decimals),
            Text(printable(token.symbol)),
            _FINALITY[one.finality],
            one.payer or "",
            one.signature,
            Text(printable(one.claim.nonce) if one.claim else ""),
        )
    print_table(table, names={"token", "from", "signature", "nonce"}, width_in_files=_WIDTH_IN_FILES)


def print_one(one: RecordedTransfer, tokens: Tokens) -> None:
    """Print a transfer, a line for each thing that is known of it."""
    token = tokens[one.mint]
    claim = f"{one.claim.nonce} ({one.claim.status}, {one.claim.id})" if one.claim else "none"
    lines = {
        "amount": f"{amount_text(one.credited, token.decimals)} {token.symbol}",
        "fee withheld": amount_text(one.fee, token.decimals) if one.fee else None,
        "status": _FINALITY[one.finality],
        "time": f"{time_text(one.block_time)} UTC, slot {one.slot}",
        "from": one.payer or "unknown",
        "to": one.recipient or "unknown",
        "kind": f"{one.kind}, instruction {one.path}",
        "mint": one.mint,
        "memo": "; ".join(one.memos) or None,
        "claimed by": claim,
    }
    typer.echo(one.signature)
    for name, value in lines.items():
        if value is not None:
            typer.echo(f"  {name:<13} {printable(value)}")


def one_line(one: RecordedTransfer, tokens: Tokens) -> str:
    """One line about a transfer that has just been recorded or changed."""
    token = tokens[one.mint]
    amount = f"{amount_text(one.credited, token.decimals)} {printable(short_name(token.symbol))}"
    payer = short_name(one.payer or "")
    return f"{time_text(one.block_time)}  {amount:>20}  {_FINALITY[one.finality]:<9}  {payer:<11}  {one.signature}"


def payment_json(one: RecordedTransfer, tokens: Tokens) -> dict[str, Any]:
    """A transfer for scripts; amounts are base units as text."""
    token, claim = tokens[one.mint], one.claim
    return {
        "signature": one.signature,
        "path": one.path,
        "slot": one.slot,
        "block_time": one.block_time,
        "kind": one.kind,
        "mint": one.mint,
        "symbol": token.symbol,
        "decimals": token.decimals,
        "amount": amount_text(one.credited, token.decimals),
        "amount_base_units": str(one.credited),
        "fee_base_units": str(one.fee),
        "payer": one.payer,
        "recipient": one.recipient,
        "finality": one.finality,
        "memos": one.memos,
        "claim": {"id": str(claim.id), "nonce": claim.nonce, "status": claim.status} if claim else None,
    }
