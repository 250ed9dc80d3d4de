"""What the facilitator answers about a payment, and the reasons for which it refuses one."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_EXACT: Final = "invalid_exact_svm_"


class Reason(StrEnum):
    """Why a payment is refused, in order of precedence: the first that applies is the answer.

    The values are those of the protocol's specification and of its published packages.
    """

    INVALID_X402_VERSION = "invalid_x402_version"
    """The version of the protocol is neither 1 nor 2, or the body and its payload name different ones."""
    INVALID_PAYLOAD = "invalid_payload"
    """The payment payload lacks something that its version of the protocol demands."""
    INVALID_PAYMENT_REQUIREMENTS = "invalid_payment_requirements"
    """The requirements are malformed, of an unknown token, or of a wallet that is not followed for the caller."""
    UNSUPPORTED_SCHEME = f"{_EXACT}unsupported_scheme"
    """Payload or requirements name another scheme than `exact`."""
    NETWORK_MISMATCH = f"{_EXACT}network_mismatch"
    """Payload and requirements name different networks."""
    INVALID_NETWORK = "invalid_network"
    """The network is not that of this ledger."""
    MISSING_FEE_PAYER = f"{_EXACT}payload_missing_fee_payer"
    """The requirements name no fee payer."""
    FEE_PAYER_NOT_MANAGED = f"{_EXACT}fee_payer_not_managed_by_facilitator"
    """The fee payer that the requirements name is none of ours."""
    NOT_DECODED = f"{_EXACT}payload_transaction_could_not_be_decoded"
    """The transaction is none, or of a version that is not known."""
    EXCESSIVE_SIGNERS = f"{_EXACT}payload_excessive_signers"
    """The transaction needs more signatures than the fee payer's and the payer's."""
    FEE_PAYER_MISMATCH = f"{_EXACT}fee_payer_mismatch"
    """The transaction is paid by another fee payer than the requirements name."""
    SIGNATURE_INVALID = f"{_EXACT}payload_signature_invalid"
    """A signature besides the fee payer's is missing or does not verify."""
    ADDRESS_LOOKUP_TABLES = f"{_EXACT}payload_transaction_address_lookup_tables"
    """The transaction takes keys from address lookup tables, whose content may change until it lands."""
    INSTRUCTIONS_LENGTH = f"{_EXACT}payload_transaction_instructions_length"
    """Besides guards there are fewer than three or more than seven instructions."""
    COMPUTE_LIMIT = f"{_EXACT}payload_transaction_instructions_compute_limit_instruction"
    """The first instruction does not set the limit of compute units."""
    COMPUTE_LIMIT_TOO_HIGH = f"{_EXACT}payload_transaction_instructions_compute_limit_instruction_too_high"
    """The limit of compute units is beyond what this facilitator pays for."""
    COMPUTE_PRICE = f"{_EXACT}payload_transaction_instructions_compute_price_instruction"
    """The second instruction does not set the price of a compute unit."""
    COMPUTE_PRICE_TOO_HIGH = f"{_EXACT}payload_transaction_instructions_compute_price_instruction_too_high"
    """The price of a compute unit is beyond what this facilitator pays."""
    NO_TRANSFER = f"{_EXACT}payload_no_transfer_instruction"
    """The third instruction is no `TransferChecked` of a token program, or one that moves nothing."""
    FEE_PAYER_TRANSFERRING = f"{_EXACT}payload_transaction_fee_payer_transferring_funds"
    """The authority of the transfer is one of our fee payers."""
    FEE_PAYER_IN_ACCOUNTS = f"{_EXACT}payload_transaction_fee_payer_included_in_instruction_accounts"
    """An instruction names one of our fee payers as an account or as its program."""
    MINT_MISMATCH = f"{_EXACT}payload_mint_mismatch"
    """The transfer is of another token."""
    RECIPIENT_MISMATCH = f"{_EXACT}payload_recipient_mismatch"
    """The transfer goes elsewhere than to the associated token account of `payTo`."""
    AMOUNT_MISMATCH = f"{_EXACT}payload_amount_mismatch"
    """The transfer is not of exactly the amount that is required."""
    UNKNOWN_FOURTH_INSTRUCTION = f"{_EXACT}payload_unknown_fourth_instruction"
    """The fourth instruction is no memo."""
    UNKNOWN_FIFTH_INSTRUCTION = f"{_EXACT}payload_unknown_fifth_instruction"
    """The fifth instruction is no memo."""
    UNKNOWN_SIXTH_INSTRUCTION = f"{_EXACT}payload_unknown_sixth_instruction"
    """The sixth instruction is no memo."""
    UNKNOWN_SEVENTH_INSTRUCTION = f"{_EXACT}payload_unknown_seventh_instruction"
    """The seventh instruction is no memo."""
    MEMO_COUNT = f"{_EXACT}payload_memo_count"
    """The requirements ask for a memo, and there is none or more than one."""
    MEMO_MISMATCH = f"{_EXACT}payload_memo_mismatch"
    """The memo is another one than the requirements ask for."""
    DUPLICATE_SETTLEMENT = "duplicate_settlement"
    """The payment has been settled before."""
    SIMULATION_FAILED = f"{_EXACT}transaction_simulation_failed"
    """A node says that the transaction would fail."""
    SETTLEMENT_PENDING = "settlement_pending"
    """The transaction was sent and is not decided yet."""
    UNEXPECTED_SETTLE_ERROR = "unexpected_settle_error"
    """A budget of ours is used up: nothing was sent."""


class Refused(Exception):  # noqa: N818 - it is a verdict, not a fault of ours
    """A payment is refused; `message` says what is wrong and what to do, `payer` whose payment it is if known."""

    def __init__(self, reason: Reason, message: str, payer: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.payer = payer


@dataclass(frozen=True, slots=True)
class ExactPayment:
    """A transaction that pays exactly what is required, and costs the fee payer no more than its fee.

    Attributes:
        message_hash: SHA-256 of the signed message, by which the payment is known: the fee payer's signature, which
            is not part of it, can be altered by anybody.
        transaction: The transaction as it was sent, with the payer's signature and without the fee payer's.
        fee_payer: Who pays the fee, one of ours.
        authority: Who pays: the wallet that signed the transfer.
        mint: The token.
        token_program: The program of the token.
        source: The token account that the money leaves.
        destination: The token account that it reaches: the associated one of `payTo`.
        amount: In base units.
        memo: The text of its one memo; `None` without a memo, with several, or with one that is no text.
        blockhash: The blockhash that it names, and with which it dies.
        fee_lamports_max: What it costs the fee payer at most: by its signatures, and by what it offers for compute.
    """

    message_hash: bytes
    transaction: bytes
    fee_payer: str
    authority: str
    mint: str
    token_program: str
    source: str
    destination: str
    amount: int
    memo: str | None
    blockhash: str
    fee_lamports_max: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer: a payment that is good, or the reason for which it is refused and a sentence that explains it."""

    payment: ExactPayment | None = None
    reason: Reason | None = None
    message: str | None = None
    payer: str | None = None

    @property
    def is_valid(self) -> bool:
        """True for a payment that is good."""
        return self.payment is not None


def accepted(payment: ExactPayment) -> Verdict:
    """The verdict on a good payment."""
    return Verdict(payment=payment, payer=payment.authority)


def refusal(refused: Refused) -> Verdict:
    """The verdict on a payment that is refused."""
    return Verdict(reason=refused.reason, message=refused.message, payer=refused.payer)
