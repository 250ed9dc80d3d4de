"""Whether a payment of scheme `exact` is what the seller requires, and costs the fee payer no more than its fee.

Pure: no clock, no database, no node. Source: the specification of x402's scheme `exact` for Solana.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from api.x402.message import DecodedInstruction, DecodedTransaction, NotATransactionError, decode_transaction
from api.x402.networks import X402Network
from api.x402.terms import Payload, Requirements
from api.x402.verdict import ExactPayment, Reason, Refused, Verdict, accepted, refusal
from chain.cluster_rules import LAMPORTS_PER_SIGNATURE, MICROLAMPORTS
from chain.instruction_layouts import (
    UNIT_LIMIT,
    UNIT_PRICE,
    CheckedTransfer,
    read_checked_transfer,
    read_compute_budget,
)
from chain.programs import LIGHTHOUSE_PROGRAM, MEMO_PROGRAM
from chain.sending import associated_account

SCHEME: Final = "exact"

_SIGNERS_MAX: Final = 2
_INSTRUCTIONS_MIN, _INSTRUCTIONS_MAX = 3, 7
# Lighthouse's first two instructions write and close an account of its own at the cost of an account that they name.
_GUARDS_FROM: Final = 2
_UNKNOWN: Final = {
    3: Reason.UNKNOWN_FOURTH_INSTRUCTION,
    4: Reason.UNKNOWN_FIFTH_INSTRUCTION,
    5: Reason.UNKNOWN_SIXTH_INSTRUCTION,
    6: Reason.UNKNOWN_SEVENTH_INSTRUCTION,
}


@dataclass(frozen=True, slots=True)
class ExactLimits:
    """What this facilitator pays for, at most: compute units, and millionths of a lamport for each of them."""

    compute_units_max: int
    price_microlamports_max: int


def check(
    payload: Payload, requirements: Requirements, network: X402Network, fee_payers: Collection[str], limits: ExactLimits
) -> Verdict:
    """Judge a payment by what it says, in the order of `Reason`.

    Args:
        payload: What the buyer sent.
        requirements: What the seller requires.
        network: The network of this ledger.
        fee_payers: The addresses of every fee payer of ours, those that are no longer advertised included.
        limits: What a payment may cost the fee payer.

    Returns:
        The payment, or the first reason for which it is refused. Whether it would succeed on chain, and whether it
        has been settled before, is not known here.
    """
    try:
        _check_terms(payload, requirements, network, fee_payers)
        transaction = _decode(payload)
        return accepted(_check_transaction(transaction, requirements, fee_payers, limits))
    except Refused as refused:
        return refusal(refused)


def _check_terms(
    payload: Payload, requirements: Requirements, network: X402Network, fee_payers: Collection[str]
) -> None:
    if not payload.scheme == requirements.scheme == SCHEME:
        raise Refused(Reason.UNSUPPORTED_SCHEME, "Only the scheme exact is settled here; offer it.")
    if payload.network != requirements.network:
        raise Refused(Reason.NETWORK_MISMATCH, "The payment is for another network than is required; pay on that one.")
    if requirements.network != (name := network.name(payload.version)):
        raise Refused(Reason.INVALID_NETWORK, f"This facilitator settles on {name}; require that network.")
    if requirements.fee_payer is None:
        raise Refused(
            Reason.MISSING_FEE_PAYER, "The requirements name no extra.feePayer; take it from GET /x402/supported."
        )
    if requirements.fee_payer not in fee_payers:
        raise Refused(Reason.FEE_PAYER_NOT_MANAGED, "extra.feePayer is none of ours; take it from GET /x402/supported.")


def _decode(payload: Payload) -> DecodedTransaction:
    try:
        return decode_transaction(payload.transaction)
    except NotATransactionError as error:
        raise Refused(Reason.NOT_DECODED, f"The transaction cannot be read: {error}; build it anew.") from None


def _check_transaction(
    transaction: DecodedTransaction, requirements: Requirements, fee_payers: Collection[str], limits: ExactLimits
) -> ExactPayment:
    if len(transaction.signers) > _SIGNERS_MAX:
        raise Refused(
            Reason.EXCESSIVE_SIGNERS, "Nobody but the fee payer and the payer may sign; sign it with one key."
        )
    if transaction.signers[0] != requirements.fee_payer:
        raise Refused(
            Reason.FEE_PAYER_MISMATCH, f"The fee payer must be {requirements.fee_payer}; build the transaction anew."
        )
    if transaction.unsigned:
        raise Refused(
            Reason.SIGNATURE_INVALID, f"The signature of {transaction.unsigned[0]} does not verify; sign it again."
        )
    if transaction.has_lookup_tables:
        raise Refused(
            Reason.ADDRESS_LOOKUP_TABLES, "Address lookup tables may change until it lands; name every key itself."
        )
    # Wallets put guards of theirs before and after; they move nothing, and are no part of the payment.
    instructions = [one for one in transaction.instructions if not _is_guard(one)]
    if not _INSTRUCTIONS_MIN <= len(instructions) <= _INSTRUCTIONS_MAX:
        raise Refused(
            Reason.INSTRUCTIONS_LENGTH,
            f"Besides guards there must be {_INSTRUCTIONS_MIN} to {_INSTRUCTIONS_MAX} instructions; build it anew.",
        )
    units = _compute_units(instructions[0], limits)
    price = _unit_price(instructions[1], limits)
    transfer = _check_transfer(transaction, instructions, requirements, fee_payers)
    memo = _check_memos(instructions[3:], requirements, transfer.authority)
    return ExactPayment(
        message_hash=transaction.message_hash,
        transaction=transaction.wire,
        fee_payer=transaction.signers[0],
        authority=transfer.authority,
        mint=transfer.mint,
        token_program=instructions[2].program,
        source=transfer.source,
        destination=transfer.destination,
        amount=transfer.amount,
        memo=memo,
        blockhash=transaction.blockhash,
        fee_lamports_max=LAMPORTS_PER_SIGNATURE * len(transaction.signers) + -(-units * price // MICROLAMPORTS),
    )


def _is_guard(instruction: DecodedInstruction) -> bool:
    """True for an assertion of Lighthouse, which can do nothing but fail."""
    return instruction.program == LIGHTHOUSE_PROGRAM and instruction.data[:1] >= bytes([_GUARDS_FROM])


def _compute_units(instruction: DecodedInstruction, limits: ExactLimits) -> int:
    units = _compute_budget(instruction, UNIT_LIMIT)
    if units is None:
        raise Refused(Reason.COMPUTE_LIMIT, "The first instruction must be SetComputeUnitLimit; build it anew.")
    if units > limits.compute_units_max:
        raise Refused(
            Reason.COMPUTE_LIMIT_TOO_HIGH,
            f"{units} compute units are more than the {limits.compute_units_max} that are paid for; set fewer.",
        )
    return units


def _unit_price(instruction: DecodedInstruction, limits: ExactLimits) -> int:
    price = _compute_budget(instruction, UNIT_PRICE)
    if price is None:
        raise Refused(Reason.COMPUTE_PRICE, "The second instruction must be SetComputeUnitPrice; build it anew.")
    if price > limits.price_microlamports_max:
        raise Refused(
            Reason.COMPUTE_PRICE_TOO_HIGH,
            f"{price} microlamports for a compute unit are more than the {limits.price_microlamports_max} that are "
            "paid; offer less.",
        )
    return price


def _compute_budget(instruction: DecodedInstruction, kind: int) -> int | None:
    found = read_compute_budget(instruction.program, instruction.data)
    return found[1] if found is not None and found[0] == kind else None


def _check_transfer(
    transaction: DecodedTransaction,
    instructions: Sequence[DecodedInstruction],
    requirements: Requirements,
    fee_payers: Collection[str],
) -> CheckedTransfer:
    """The transfer, which is the one that is required."""
    program = instructions[2].program
    transfer = read_checked_transfer(program, instructions[2].data, instructions[2].accounts)
    if transfer is None or transfer.fee is not None:
        raise Refused(Reason.NO_TRANSFER, "The third instruction must be TransferChecked; build the transaction anew.")
    authority, mint = transfer.authority, transfer.mint
    if authority in fee_payers:
        raise Refused(
            Reason.FEE_PAYER_TRANSFERRING, "A fee payer pays fees and nothing else; pay from your own wallet."
        )
    if any(_names_any(one, fee_payers) for one in instructions):
        raise Refused(
            Reason.FEE_PAYER_IN_ACCOUNTS, "No instruction may name a fee payer; build the transaction anew.", authority
        )
    if transfer.others:
        # A reference makes the transfer another payment request's, which this seller does not require.
        raise Refused(
            Reason.NO_TRANSFER, "The transfer may name four accounts and no reference; build it anew.", authority
        )
    if authority not in transaction.signers:
        raise Refused(
            Reason.SIGNATURE_INVALID, f"The owner of the money, {authority}, has not signed; sign it.", authority
        )
    if transfer.source == transfer.destination or authority == requirements.pay_to:
        raise Refused(Reason.NO_TRANSFER, "The transfer would move nothing; pay from another wallet.", authority)
    if mint != requirements.asset:
        raise Refused(Reason.MINT_MISMATCH, f"The token must be {requirements.asset}; pay in that one.", authority)
    wanted = associated_account(requirements.pay_to, mint, program)
    if transfer.destination != wanted:
        raise Refused(
            Reason.RECIPIENT_MISMATCH,
            f"The money must go to {wanted}, the account of payTo; pay to that one.",
            authority,
        )
    if transfer.amount != requirements.amount:
        raise Refused(
            Reason.AMOUNT_MISMATCH, f"The amount must be {requirements.amount} base units; pay exactly that.", authority
        )
    return transfer


def _names_any(instruction: DecodedInstruction, addresses: Collection[str]) -> bool:
    return instruction.program in addresses or any(account in addresses for account in instruction.accounts)


def _check_memos(rest: Sequence[DecodedInstruction], requirements: Requirements, payer: str) -> str | None:
    """The text of the one memo, if there is one."""
    for position, instruction in enumerate(rest, start=3):
        if instruction.program != MEMO_PROGRAM:
            raise Refused(
                _UNKNOWN[position], "After the transfer only memos may come; build the transaction anew.", payer
            )
    memos = [instruction.data for instruction in rest]
    if requirements.memo is not None:
        if len(memos) != 1:
            raise Refused(Reason.MEMO_COUNT, "There must be exactly one memo, the seller's; build it anew.", payer)
        if memos[0] != requirements.memo.encode():
            raise Refused(Reason.MEMO_MISMATCH, "The memo must be the seller's extra.memo; build it anew.", payer)
    try:
        memo = memos[0].decode() if len(memos) == 1 else None
    except UnicodeDecodeError:
        return None
    # A text with a NUL is no nonce of a payment request, and Postgres holds no such text.
    return None if memo is None or "\0" in memo else memo
