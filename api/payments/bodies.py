"""The JSON of payments, payment requests and recipients, and how it is made of what the ledger holds."""

from typing import Any, Final, Literal

from pydantic import Field

from api.http.fields import Address, AmountSent, BaseUnitsText, EpochMs, ExactAmount, MillisecondsSent, ShortText
from api.http.json import AnswerShape, Shape, exact_amount
from api.tokens import Token
from ledger.payment_requests import PaymentRequest, solana_pay_url
from ledger.recipients import Recipient
from ledger.states import ClaimStatus, Finality, ShownStatus, shown_finality, shown_status
from ledger.times import epoch_ms
from ledger.transfers import RecordedTransfer, TakingClaim

_EXPIRES_IN_MS: Final = 15 * 60 * 1000
_EXPIRES_IN_MS_MAX: Final = 30 * 24 * 60 * 60 * 1000


class TakingClaimBody(AnswerShape):
    """The claim that took a transfer."""

    id: str
    nonce: str
    status: ShownStatus
    finality: Finality | None


class PaymentBody(AnswerShape):
    """One transfer."""

    signature: str
    path: str
    slot: int
    block_time: EpochMs | None = Field(description="The node's estimate")
    kind: str
    payer: str | None
    recipient: str | None
    mint: str
    currency: str
    amount: ExactAmount = Field(description="What was credited")
    amount_base_units: BaseUnitsText
    fee_base_units: BaseUnitsText = Field(description="What the token program withheld")
    status: ShownStatus = Field(description="`confirmed`, or `reversed` for a transfer whose fork was abandoned")
    finality: Finality | None = Field(description="Whether it can still be undone; null for one that was")
    memos: tuple[str, ...]
    claim: TakingClaimBody | None


class PaymentsOfTransaction(AnswerShape):
    """Every transfer of one transaction to the caller's wallets."""

    signature: str
    payments: list[PaymentBody]


class PaymentPage(AnswerShape):
    """A page of the ledger, newest first."""

    payments: list[PaymentBody]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one")


class RequestOrder(Shape):
    """A payment to be requested."""

    amount: AmountSent
    currency: ShortText | None = Field(None, examples=["USDC"])
    mint: Address | None = None
    recipient: Address | None = Field(
        None, description="One of the caller's wallets; the one that was registered first, if it is left out"
    )
    resource: ShortText | None = Field(None, description="What is paid for")
    expires_in: int = Field(_EXPIRES_IN_MS, ge=1, le=_EXPIRES_IN_MS_MAX, description="Milliseconds")
    scheme: Literal["exact", "minimum"] = "minimum"
    require_proof_version: Literal[1, 2] = Field(
        1, description="2 accepts only proofs whose signature names recipient and transaction"
    )
    final_only: bool = Field(False, description="Paid by a finalized transfer only, however it is matched")
    metadata: dict[str, Any] | None = None


class RequestBody(AnswerShape):
    """A payment request."""

    nonce: str
    amount: ExactAmount
    amount_base_units: BaseUnitsText
    currency: str
    mint: str
    recipient: str
    resource: str | None
    expires_at: EpochMs
    scheme: Literal["exact", "minimum"]
    reference: str = Field(description="A key that a transfer can carry, so that it is matched without a claim")
    solana_pay_url: str
    require_proof_version: int = Field(description="The least version of a proof that is accepted for it")
    final_only: bool = Field(description="Paid by a finalized transfer only, however it is matched")
    status: Literal["open", "pending", "paid", "expired"]
    metadata: dict[str, Any]


class RequestPage(AnswerShape):
    """A page of payment requests, newest first."""

    requests: list[RequestBody]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null on the last one")


class RequestStatus(RequestBody):
    """A payment request and what came of it."""

    received: ExactAmount = Field(description="All payments for it together, honoured or not, in its token")
    received_base_units: BaseUnitsText
    late: bool = Field(description="A payment for it came after it had expired, whether it was honoured or not")
    short: bool = Field(description="What was received in all is less than was asked for")
    over: bool = Field(description="What was received in all is more than was asked for")
    duplicate: bool = Field(description="More than one payment came for it")
    payer: str | None = Field(description="Whose payment honours it; null until then, whoever claims to have paid")
    transaction_id: str | None = Field(description="The transaction that it was honoured by")
    transfers: list[PaymentBody]


class RecipientOrder(Shape):
    """A wallet to follow."""

    address: str = Field(max_length=64, description="The wallet that is paid, not one of its token accounts")
    label: ShortText | None = None
    signature: str | None = Field(
        None,
        max_length=128,
        description="ed25519 by the wallet over `402pay recipient {address} for {userId}`, base58, which ends in "
        "` at {signedAt}` where that is sent. Admins need none: a multisig or a program's address cannot sign.",
    )
    signed_at: MillisecondsSent | None = Field(
        None,
        description="When the wallet signed, at most 10 minutes ago, in milliseconds since 1970. Needed for a wallet "
        "that was registered and removed before",
    )
    user_id: ShortText | None = Field(None, description="For admins: whose wallet it is")


class RecipientBody(AnswerShape):
    """A wallet that is followed."""

    address: str
    user_id: str
    label: str | None
    followed_from_slot: int
    active: bool
    environment: Literal["live", "test"] = Field(
        description="Of the key that registered it; a test key changes no live one"
    )
    created_at: EpochMs


class RegisteredRecipientBody(RecipientBody):
    """A wallet that has just been registered."""

    missing_token_accounts: list[str] | None = Field(
        description="Tokens for which the wallet has no account yet. Payers over x402 open none, and neither do we: "
        "until the wallet has received such a token once, or opened the account, it cannot be paid so in it. Null "
        "where no node could say"
    )


class ListedRecipientBody(RecipientBody):
    """A wallet that is followed, as it is listed."""

    token_accounts: int = Field(description="How many token accounts of it the ledger knows")


class RecipientList(AnswerShape):
    """The caller's wallets."""

    recipients: list[ListedRecipientBody]
    total: int


class RecipientRemoved(AnswerShape):
    """What was done."""

    message: str
    address: str


def _claim_body(claim: TakingClaim) -> TakingClaimBody:
    status, finality = shown_status(ClaimStatus(claim.status))
    return TakingClaimBody(id=str(claim.id), nonce=claim.nonce, status=status, finality=finality)


def payment_body(transfer: RecordedTransfer, token: Token) -> PaymentBody:
    """A transfer of `token`, as it is answered."""
    status, finality = shown_finality(transfer.finality)
    return PaymentBody(
        signature=transfer.signature,
        path=transfer.path,
        slot=transfer.slot,
        block_time=epoch_ms(transfer.block_time),
        kind=transfer.kind,
        payer=transfer.payer,
        recipient=transfer.recipient,
        mint=transfer.mint,
        currency=token.symbol,
        amount=exact_amount(transfer.credited, token.decimals),
        amount_base_units=str(transfer.credited),
        fee_base_units=str(transfer.fee),
        status=status,
        finality=finality,
        memos=transfer.memos,
        claim=None if transfer.claim is None else _claim_body(transfer.claim),
    )


def request_fields(asked: PaymentRequest, token: Token, status: str) -> dict[str, Any]:
    """What every answer about a payment request says, by the attributes of `RequestBody`."""
    url = solana_pay_url(
        recipient=asked.recipient,
        amount=asked.amount,
        decimals=token.decimals,
        mint=asked.mint,
        reference=asked.reference,
        memo=asked.nonce,
        label=asked.resource,
    )
    return {
        "nonce": asked.nonce,
        "amount": exact_amount(asked.amount, token.decimals),
        "amount_base_units": str(asked.amount),
        "currency": asked.currency,
        "mint": asked.mint,
        "recipient": asked.recipient,
        "resource": asked.resource,
        "expires_at": epoch_ms(asked.expires_at),
        "scheme": asked.scheme,
        "reference": asked.reference,
        "solana_pay_url": url,
        "require_proof_version": asked.proof_version,
        "final_only": asked.final_only,
        "status": status,
        "metadata": asked.metadata,
    }


def recipient_fields(recipient: Recipient) -> dict[str, Any]:
    """What every answer about a wallet says, by the attributes of `RecipientBody`."""
    return {
        "address": recipient.address,
        "user_id": recipient.user_id,
        "label": recipient.label,
        "followed_from_slot": recipient.followed_from_slot,
        "active": recipient.is_active,
        "environment": recipient.environment,
        "created_at": epoch_ms(recipient.created_at),
    }
