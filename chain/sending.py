"""Transactions of our own: what they say, and how they reach the chain. Nothing here knows a secret key.

Sources: the Solana JSON-RPC reference, the transaction confirmation and expiration guide, Solana Pay.
"""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from spl.token import instructions as spl
from spl.token.models import TransferCheckedParams

from chain.cluster_rules import BLOCKHASH_LIFETIME_BLOCKS, MICROLAMPORTS
from chain.instructions import transfer_checked_with_fee, with_references
from chain.nonces import advancing
from chain.programs import MEMO_PROGRAM
from chain.rpc import Endpoint, RpcError, RpcPool
from ledger.tokens import NATIVE_SOL

# Memo, a new token account and a transfer take about 60,000 units; a transfer hook of Token-2022 runs on top.
_COMPUTE_UNITS: Final = 200_000


class _Blockhash(msgspec.Struct, rename="camel"):
    blockhash: str
    last_valid_block_height: int


class _BlockhashAnswer(msgspec.Struct):
    value: _Blockhash


class FinalizedTip(msgspec.Struct, rename="camel"):
    """The newest finalized block, as one answer of one endpoint has it."""

    absolute_slot: int
    block_height: int


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A recent blockhash, and the block height beyond which nothing that names it can land."""

    blockhash: str
    last_valid_block_height: int


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


async def latest_blockhash(pool: RpcPool) -> Lifetime:
    """A blockhash that the cluster has voted for.

    A node may be wrong about the height at which it ends, but nothing outlives 150 blocks from now.
    """
    answer: _BlockhashAnswer = await pool.call("getLatestBlockhash", [{"commitment": "confirmed"}], _BlockhashAnswer)
    newest: int = await pool.call("getBlockHeight", [{"commitment": "processed"}], int)
    last = max(answer.value.last_valid_block_height, newest + BLOCKHASH_LIFETIME_BLOCKS)
    return Lifetime(answer.value.blockhash, last)


async def finalized_tip(pool: RpcPool) -> FinalizedTip:
    """Slot and height of the newest finalized block: the lowest that an endpoint answers, from one answer.

    What can land no more is decided by it. So a node that is ahead, or says that it is, decides nothing alone.

    Raises:
        RpcError: No endpoint answers.
    """

    async def ask(endpoint: Endpoint) -> FinalizedTip:
        tip: FinalizedTip = await pool.call(
            "getEpochInfo", [{"commitment": "finalized"}], FinalizedTip, attempts=2, at=endpoint
        )
        return tip

    answers = await asyncio.gather(*map(ask, pool.endpoints), return_exceptions=True)
    tips = [one for one in answers if isinstance(one, FinalizedTip)]
    for answer in answers:
        if isinstance(answer, BaseException) and not (tips and isinstance(answer, RpcError)):
            raise answer
    return min(tips, key=lambda tip: tip.block_height)


async def broadcast(pool: RpcPool, wire: bytes, *, preflight: bool) -> str:
    """Hand a signed transaction to a node, which may or may not spread it; returns its signature.

    Raises:
        PermanentRpcError: With `preflight`: it would fail, and was not spread.
        RpcError: No node answered; it may have been spread all the same.
    """
    options: dict[str, Any] = {
        "encoding": "base64",
        "skipPreflight": not preflight,
        "preflightCommitment": "confirmed",
        "maxRetries": 0,
    }
    signature: str = await pool.call("sendTransaction", [base64.b64encode(wire).decode(), options], str)
    return signature


async def broadcast_everywhere(pool: RpcPool, wire: bytes) -> int:
    """Hand a signed transaction to every endpoint, untried; returns how many took it.

    One that did not answer may have spread it all the same.
    """
    params = [
        base64.b64encode(wire).decode(),
        {"encoding": "base64", "skipPreflight": True, "preflightCommitment": "confirmed", "maxRetries": 0},
    ]

    async def hand_to(endpoint: Endpoint) -> bool:
        try:
            await pool.call("sendTransaction", params, str, attempts=1, at=endpoint)
        except RpcError:
            return False
        return True

    return sum(await asyncio.gather(*map(hand_to, pool.endpoints)))


async def rent_exempt_lamports(pool: RpcPool, size: int) -> int:
    """What an account of `size` bytes must hold."""
    lamports: int = await pool.call("getMinimumBalanceForRentExemption", [size], int)
    return lamports
