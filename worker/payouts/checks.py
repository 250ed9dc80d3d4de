"""Whether a payout can be sent now, and if not, for what reason it has to wait."""

from enum import StrEnum
from typing import Final

from chain.accounts import AccountState
from chain.fees import parse_fee_rule
from chain.node import Node
from chain.programs import NATIVE_SOL, SOL_DECIMALS, SYSTEM_PROGRAM, TOKEN_PROGRAMS
from chain.sending import Sending, rent_exempt_lamports
from ledger.amounts import MAX_BASE_UNITS
from worker.payouts.rows import Payout

_SIGNATURE_FEE_LAMPORTS: Final = 5_000
# A token account of Token-2022 carries extensions: the associated account of a mint with fees has 182 bytes.
_TOKEN_ACCOUNT_BYTES: Final = 182
_MINT_DECIMALS_AT: Final = 44
_STATE_AT: Final = 108
_FROZEN: Final = 2


class Waiting(StrEnum):
    """Why a payout waits. The values are labels of a metric."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    """The settlement wallet holds less of the token than is to be sent."""
    INSUFFICIENT_LAMPORTS = "insufficient_lamports"
    """It cannot pay the fee, or the rent of the recipient's token account."""
    SOURCE_FROZEN = "source_frozen"
    """The token's issuer has frozen the settlement wallet's account."""
    DESTINATION_FROZEN = "destination_frozen"
    """The token's issuer has frozen the recipient's account."""
    DESTINATION_UNUSABLE = "destination_unusable"
    """The recipient is a token account or a mint and no wallet, or its token account belongs to somebody else."""
    BELOW_RENT = "below_rent"
    """The recipient does not exist, and so little SOL cannot bring it to life."""
    MINT_UNUSABLE = "mint_unusable"
    """The token's mint is not on the chain, or keeps so much that nothing arrives."""


class NotReadyError(Exception):
    """It cannot be sent now, for `reason`."""

    def __init__(self, reason: Waiting) -> None:
        super().__init__(reason.value)
        self.reason = reason


async def ready_sending(node: Node, payout: Payout, *, unit_price: int = 0) -> Sending:
    """What to send so that the recipient of `payout` gains exactly its amount.

    Args:
        node: Asked for the accounts as the cluster has voted for them.
        payout: What is to be sent.
        unit_price: What is offered for each compute unit, in millionths of a lamport.

    Raises:
        NotReadyError: Something is missing.
        RpcError: The nodes did not answer.
    """
    memo = f"402pay payout {payout.id}"
    route = (payout.wallet, payout.recipient, payout.mint)
    if payout.mint == NATIVE_SOL:
        sending = Sending(*route, SYSTEM_PROGRAM, SOL_DECIMALS, payout.amount, 0, payout.reference, memo, unit_price)
        await _check_lamports(node, sending)
        return sending
    _, mint = await node.account(payout.mint)
    if mint is None or mint.program not in TOKEN_PROGRAMS:
        raise NotReadyError(Waiting.MINT_UNUSABLE)
    fee = await _fee_on_top(node, mint, payout.amount)
    decimals = mint.data[_MINT_DECIMALS_AT]
    gross = payout.amount + fee
    sending = Sending(*route, mint.program, decimals, gross, fee, payout.reference, memo, unit_price)
    await _check_tokens(node, sending)
    return sending


async def _fee_on_top(node: Node, mint: AccountState, amount: int) -> int:
    """What the token itself keeps when `amount` is to arrive, in base units; it comes on top."""
    if mint.program == TOKEN_PROGRAMS[0]:
        return 0
    rule = parse_fee_rule(mint.data, await node.epoch())
    if rule is None:
        return 0
    # What arrives never falls as the gross rises, and rises by at most one: bisection finds the exact amount.
    low, high = amount, amount
    while high - rule(high) < amount:
        high = min(2 * high + 1, MAX_BASE_UNITS)
        if high == MAX_BASE_UNITS and high - rule(high) < amount:
            raise NotReadyError(Waiting.MINT_UNUSABLE)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if middle - rule(middle) >= amount else (middle + 1, high)
    if low - rule(low) != amount:
        raise NotReadyError(Waiting.MINT_UNUSABLE)
    return low - amount


async def _check_tokens(node: Node, sending: Sending) -> None:
    addresses = [sending.source, sending.destination, sending.wallet, sending.recipient]
    _, (source, destination, wallet, recipient) = await node.accounts(addresses, commitment="confirmed")
    if source is None or not source.is_token_account or source.balance_of(is_wallet=False) < sending.gross:
        raise NotReadyError(Waiting.INSUFFICIENT_FUNDS)
    if source.data[_STATE_AT] == _FROZEN:
        raise NotReadyError(Waiting.SOURCE_FROZEN)
    if recipient is not None and (recipient.is_token_account or recipient.program in TOKEN_PROGRAMS):
        raise NotReadyError(Waiting.DESTINATION_UNUSABLE)
    rent = 0
    if destination is None or not destination.is_token_account:
        rent = await rent_exempt_lamports(node.pool, _TOKEN_ACCOUNT_BYTES)
    elif destination.data[_STATE_AT] == _FROZEN:
        raise NotReadyError(Waiting.DESTINATION_FROZEN)
    await _check_wallet(node, wallet, rent + sending.priority_fee)


async def _check_lamports(node: Node, sending: Sending) -> None:
    _, (wallet, recipient) = await node.accounts([sending.wallet, sending.recipient], commitment="confirmed")
    if recipient is None and sending.gross < await rent_exempt_lamports(node.pool, 0):
        raise NotReadyError(Waiting.BELOW_RENT)
    if recipient is not None and (recipient.is_token_account or recipient.executable):
        raise NotReadyError(Waiting.DESTINATION_UNUSABLE)
    await _check_wallet(node, wallet, sending.gross + sending.priority_fee)


async def _check_wallet(node: Node, wallet: AccountState | None, spent: int) -> None:
    """The wallet pays `spent` lamports and the fee for a signature, and what is left must keep it alive."""
    left = (wallet.lamports if wallet else 0) - spent - _SIGNATURE_FEE_LAMPORTS
    if left < await rent_exempt_lamports(node.pool, 0):
        raise NotReadyError(Waiting.INSUFFICIENT_LAMPORTS)
