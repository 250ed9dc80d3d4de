"""Transactions of our own: what they say, and how they reach the chain. Nothing here knows a secret key.

Sources: the Solana JSON-RPC reference, the transaction confirmation and expiration guide, Solana Pay.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from spl.token import instructions as spl
from spl.token.models import TransferCheckedParams

from chain.asking import ask_each
from chain.cluster_rules import MICROLAMPORTS
from chain.instructions import transfer_checked_with_fee, with_references
from chain.nonces import advancing
from chain.programs import MEMO_PROGRAM
from chain.rpc import Endpoint, PermanentRpcError, RpcPool
from ledger.tokens import NATIVE_SOL

# Memo, a new token account and a transfer take about 60,000 units; a transfer hook of Token-2022 runs on top.
_COMPUTE_UNITS: Final = 200_000
_GRACE_SECONDS: Final = 0.5
_ALREADY_PROCESSED: Final = "already been processed"


@dataclass(frozen=True, slots=True)
class Sending:
    """What is to be sent: `gross` leaves `wallet`, of which the token itself keeps `fee`; all in base units.

    `destination` is the account that it reaches: for native SOL the recipient itself. With `opens_account` the
    transaction makes it, at the cost of `wallet`. `unit_price` is what is offered on top for each compute unit, in
    millionths of a lamport: a busy cluster takes the highest bids first.
    """

    wallet: str
    recipient: str
    mint: str
    program: str
    decimals: int
    gross: int
    fee: int
    reference: str
    memo: str
    destination: str
    opens_account: bool = False
    unit_price: int = 0

    @property
    def priority_fee(self) -> int:
        """What is offered on top, in lamports: asked for and charged for every unit of the limit, used or not."""
        return -(-_COMPUTE_UNITS * self.unit_price // MICROLAMPORTS)

    @property
    def source(self) -> str:
        """The account it leaves: for native SOL the wallet itself."""
        return associated_account(self.wallet, self.mint, self.program)

    def message(self, blockhash: str, nonce_account: str | None = None) -> Message:
        """The message to sign; with `nonce_account` it lives by the value of that account, given as `blockhash`."""
        payer = Pubkey.from_string(self.wallet)
        # Some accounts take a transfer only with a memo before it.
        note = Instruction(Pubkey.from_string(MEMO_PROGRAM), self.memo.encode(), [])
        moving = with_references(self._transfer(), [Pubkey.from_string(self.reference)])
        # Only as the first instruction it makes the transaction live by the nonce.
        first = [advancing(nonce_account, self.wallet)] if nonce_account else []
        instructions = [*first, *self._bid(), note, *self._opening(), moving]
        return Message.new_with_blockhash(instructions, payer, Hash.from_string(blockhash))

    def _bid(self) -> Sequence[Instruction]:
        if not self.unit_price:
            return ()
        return set_compute_unit_limit(_COMPUTE_UNITS), set_compute_unit_price(self.unit_price)

    def _opening(self) -> Sequence[Instruction]:
        if not self.opens_account:
            return ()
        keys = (Pubkey.from_string(one) for one in (self.wallet, self.recipient, self.mint, self.program))
        return (spl.create_idempotent_associated_token_account(*keys),)

    def _transfer(self) -> Instruction:
        wallet, mint = Pubkey.from_string(self.wallet), Pubkey.from_string(self.mint)
        source, destination = Pubkey.from_string(self.source), Pubkey.from_string(self.destination)
        if self.mint == NATIVE_SOL:
            return transfer(TransferParams(from_pubkey=wallet, to_pubkey=destination, lamports=self.gross))
        if self.fee:
            return transfer_checked_with_fee(source, mint, destination, wallet, self.gross, self.decimals, self.fee)
        return spl.transfer_checked(
            TransferCheckedParams(
                program_id=Pubkey.from_string(self.program),
                source=source,
                mint=mint,
                dest=destination,
                owner=wallet,
                amount=self.gross,
                decimals=self.decimals,
            )
        )


def associated_account(wallet: str, mint: str, program: str) -> str:
    """The associated token account of `wallet` for `mint`; for native SOL the wallet itself."""
    if mint == NATIVE_SOL:
        return wallet
    keys = (Pubkey.from_string(one) for one in (wallet, mint, program))
    return str(spl.get_associated_token_address(*keys))


async def broadcast(pool: RpcPool, wire: bytes, *, preflight: bool) -> str:
    """Hand a signed transaction to a node, which may or may not spread it; returns its signature.

    Raises:
        PermanentRpcError: With `preflight`: it would fail, and was not spread.
        RpcError: No node answered; it may have been spread all the same.
    """
    signature: str = await pool.call("sendTransaction", _params(wire, preflight=preflight), str)
    return signature


async def broadcast_everywhere(pool: RpcPool, wire: bytes) -> int:
    """Hand a signed transaction to every endpoint, untried; returns how many took it.

    One that did not answer may have spread it all the same.
    """
    taken, _ = await ask_each(pool, partial(_hand_to, pool, _params(wire, preflight=False), 1))
    return len(taken)


async def offer_everywhere(pool: RpcPool, wire: bytes, *, preflight: bool) -> None:
    """As `broadcast`, to every endpoint: one that keeps it, or refuses it without a cause, does not hold it up.

    Once one has taken it, the others are not waited for long. One that says that it has landed has taken it.

    Raises:
        PermanentRpcError: All that answered refused it: with `preflight`, it would fail.
        RpcError: No node answered; it may have been spread all the same.
    """
    hand_to = partial(_hand_to, pool, _params(wire, preflight=preflight), None)
    taken, errors = await ask_each(pool, hand_to, enough=1, grace_seconds=_GRACE_SECONDS)
    if not taken and not any(_ALREADY_PROCESSED in str(error) for error in errors):
        raise next((error for error in errors if isinstance(error, PermanentRpcError)), errors[0])


async def _hand_to(pool: RpcPool, params: Sequence[Any], attempts: int | None, endpoint: Endpoint) -> str:
    signature: str = await pool.call("sendTransaction", params, str, attempts=attempts, at=endpoint)
    return signature


def _params(wire: bytes, *, preflight: bool) -> Sequence[Any]:
    options = {
        "encoding": "base64",
        "skipPreflight": not preflight,
        "preflightCommitment": "confirmed",
        "maxRetries": 0,
    }
    return [base64.b64encode(wire).decode(), options]


async def rent_exempt_lamports(pool: RpcPool, size: int) -> int:
    """What an account of `size` bytes must hold."""
    lamports: int = await pool.call("getMinimumBalanceForRentExemption", [size], int)
    return lamports
