"""A small ledger with everything in it, for tests of what reads ledgers."""

import datetime as dt
import itertools
from dataclasses import dataclass

from chain.base58 import b58encode

TOKEN_PROGRAM = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
USDC = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
USDT = "EJwZgeZrdC8TXTQbQBoL6bfuAnFUUy1PVCMB4DYPzVaS"
SYMBOLS = {USDC: "USDC", USDT: "USDT"}

_numbers = itertools.count(1)


def address(seed):
    """A wallet that is always the same for a seed."""
    return b58encode(bytes([seed]) * 32)


def new_signature():
    return b58encode(next(_numbers).to_bytes(8, "big").rjust(64, b"\x07"))


@dataclass(frozen=True)
class Merchant:
    """A user with one followed wallet."""

    user: str
    wallet: str


async def add_merchant(connection, user, seed):
    merchant = Merchant(user, address(seed))
    await connection.execute(
        "INSERT INTO recipients (address, user_id, followed_from_slot) VALUES ($1, $2, 0)", merchant.wallet, user
    )
    await connection.execute(
        "INSERT INTO token_accounts (address, recipient, mint, program) VALUES ($1, $2, $3, $4)",
        address(seed + 1), merchant.wallet, USDC, TOKEN_PROGRAM,
    )  # fmt: skip
    return merchant


async def add_transfer(
    connection, merchant, amount, *, mint=USDC, payer=None, at=None, fee=0, finality="finalized", slot=1
):
    """One movement to a merchant; returns its signature."""
    signature, payer = new_signature(), payer or address(200)
    await connection.execute(
        "INSERT INTO transfers (signature, path, slot, block_time, kind, program, mint, source, destination,"
        " source_owner, destination_owner, authority, amount, fee, finality, recorded_at)"
        " VALUES ($1, '0', $2, $3, 'transferChecked', $4, $5, $6, $7, $6, $7, $6, $8, $9, $10,"
        " coalesce($3, clock_timestamp()))",
        signature, slot, at, TOKEN_PROGRAM, mint, payer, merchant.wallet, amount, fee, finality,
    )  # fmt: skip
    return signature


async def add_claim(
    connection, merchant, amount, *, mint=USDC, agent=None, at=None, status="finalized", environment="live", payer=None
):
    """A claim with its transfer, or without one where its status has none; returns its id."""
    honoured = status in {"confirmed", "finalized", "reversed"}
    at = at or dt.datetime.now(dt.UTC)
    payer = payer or address(200)
    if honoured:
        signature = await add_transfer(connection, merchant, amount, mint=mint, at=at, payer=payer)
    else:
        signature = new_signature()
    # A claim comes into being pending, confirmed or finalized; other statuses it has to reach.
    first = status if status in {"pending", "confirmed", "finalized"} else "confirmed" if honoured else "pending"
    claim = await connection.fetchval(
        "INSERT INTO transactions (user_id, nonce, signature, path, payer, recipient, mint, currency, amount,"
        ' least_amount, received, agent_id, environment, status, "timestamp", honoured_at)'
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12, $13::claim_status, $14, $15) RETURNING id",
        merchant.user, f"n{next(_numbers)}", signature, "0" if honoured else None, payer, merchant.wallet, mint,
        SYMBOLS[mint], amount, amount if honoured else None, agent, environment, first, at, at if honoured else None,
    )  # fmt: skip
    if status != first:
        code = "TRANSACTION_FAILED" if status in {"failed", "expired"} else None
        await connection.execute("UPDATE transactions SET status = $2, code = $3 WHERE id = $1", claim, status, code)
    return claim
