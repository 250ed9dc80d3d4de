"""Findings of a reconciliation in requests and answers: what each means, what to do, and what was decided."""

import uuid
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from api.http.fields import Base58Signature, BaseUnitsText, EpochMs, ExactAmount
from api.http.json import AnswerShape, Shape, exact_amount
from api.tokens import Token
from ledger.findings import Finding, FindingState
from ledger.payment_requests import solana_pay_url

_NOTE_MAX: Final = 2_000

FindingKind = Literal[
    "unmatchedTransfer", "unpaidClaim", "shortPayment", "overPayment", "latePayment", "duplicatePayment"
]
NoteText = Annotated[str, StringConstraints(min_length=1, max_length=_NOTE_MAX, pattern=r"^[^\x00]*$")]

MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "unmatchedTransfer": (
        "Money came in, and nobody has claimed it.",
        "Ask the payer what it was for and let it be verified; else give it back, or accept it.",
    ),
    "unpaidClaim": (
        "Somebody claimed a payment that did not honour the claim.",
        "Deliver nothing for it. Accept it when it is known why; the payer may pay and claim anew.",
    ),
    "shortPayment": (
        "A payment was smaller than what was asked for.",
        "Ask for the rest with a new request, give back what came, or accept it as it is.",
    ),
    "overPayment": (
        "A payment was larger than what was asked for, and honoured.",
        "Give back what is beyond, or accept it as agreed with the payer.",
    ),
    "latePayment": (
        "A payment came after its request had ended.",
        "Deliver all the same and accept it, or give it back.",
    ),
    "duplicatePayment": (
        "A request that was paid already was paid once more.",
        "Give back what came twice, or accept it as agreed with the payer.",
    ),
}
"""Of each kind what it means and what to do, each a sentence or two."""


REFUND_EFFECT: Final = (
    "A payment of which anything was given back pays for nothing any more, not even with its rest: ask its payer for "
    "that by a new request. A refund that was noted by mistake can be withdrawn; the payment can be claimed again then."
)
"""What becomes of a payment by a refund that is noted."""


class FindingBody(AnswerShape):
    """Something that the newest report found not to match, and what was decided about it."""

    id: str = Field(description="The same in every report that finds it")
    kind: FindingKind
    state: FindingState = Field(description="`refunded` once all that can be given back was")
    meaning: str
    advice: str
    user_id: str
    signature: str | None
    path: str | None
    mint: str
    currency: str
    amount: ExactAmount = Field(description="What came in")
    amount_base_units: BaseUnitsText
    expected: ExactAmount | None = Field(description="What should have come in")
    expected_base_units: BaseUnitsText | None
    refundable: ExactAmount = Field(description="What of it can be given back to its payer")
    refundable_base_units: BaseUnitsText
    refunded: ExactAmount = Field(description="What of it was given back")
    refunded_base_units: BaseUnitsText
    payer: str | None
    recipient: str | None
    nonce: str | None
    claim_id: uuid.UUID | None
    code: str | None
    at: EpochMs


class FindingCountBody(AnswerShape):
    """How many findings there are of a kind."""

    found: int = Field(description="In the newest report")
    open: int = Field(description="Of those that the report keeps, the ones that nobody has decided about")


class FindingsPage(AnswerShape):
    """Findings, newest first."""

    findings: list[FindingBody]
    next_cursor: str | None
    counts: dict[str, FindingCountBody] = Field(description="By kind; empty where nothing was reconciled yet")


class DecisionBody(AnswerShape):
    """What somebody decided about a finding."""

    action: Literal["accepted", "refunded", "noted", "withdrawn"] = Field(
        description="`withdrawn` is a refund that was noted by mistake"
    )
    note: str | None
    decided_by: str
    at: EpochMs
    refund_signature: str | None
    refund: ExactAmount | None = Field(description="What that transaction gave back")
    refund_base_units: BaseUnitsText | None
    withdrawn_by: str | None
    withdrawn_at: EpochMs | None


class TransferBackBody(AnswerShape):
    """A transfer that may have given the payment back, and is not noted as that."""

    signature: str
    path: str
    amount: ExactAmount
    amount_base_units: BaseUnitsText
    is_final: bool = Field(description="Only a final one can be noted")


class PayoutBackBody(AnswerShape):
    """What the worker returns by itself, of a payment for a job."""

    payout_id: uuid.UUID
    job_id: uuid.UUID
    status: str
    amount: ExactAmount
    amount_base_units: BaseUnitsText
    signature: str | None


class FindingDetail(FindingBody):
    """A finding with all that is known about what becomes of it."""

    decisions: list[DecisionBody]
    transfers_back: list[TransferBackBody]
    payouts_back: list[PayoutBackBody]
    refund_effect: str | None = Field(
        description="What a refund that was noted means for the payment; null where none is"
    )
    solana_pay_url: str | None = Field(
        description="Opens a wallet that gives back what is left to give; null where nothing is, or the worker does it"
    )


class Acceptance(Shape):
    """Why it is left as it is."""

    note: NoteText | None = None


class Note(Shape):
    """Something to be written down."""

    note: NoteText


class Refund(Shape):
    """The transaction that gave the payment back."""

    signature: Base58Signature
    note: NoteText | None = None


class Withdrawal(Shape):
    """The transaction that was noted by mistake as what gave the payment back."""

    signature: Base58Signature


def finding_fields(found: Finding, token: Token) -> dict[str, object]:
    """The fields of `FindingBody`; `token` is that of the finding's mint."""
    meaning, advice = MEANINGS[found.kind]
    return {
        "id": found.id,
        "kind": found.kind,
        "state": found.state,
        "meaning": meaning,
        "advice": advice,
        "user_id": found.user_id,
        "signature": found.signature,
        "path": found.path,
        "mint": found.mint,
        "currency": token.symbol,
        "amount": exact_amount(found.amount, token.decimals),
        "amount_base_units": str(found.amount),
        "expected": None if found.expected is None else exact_amount(found.expected, token.decimals),
        "expected_base_units": None if found.expected is None else str(found.expected),
        "refundable": exact_amount(found.refundable, token.decimals),
        "refundable_base_units": str(found.refundable),
        "refunded": exact_amount(found.refunded, token.decimals),
        "refunded_base_units": str(found.refunded),
        "payer": found.payer,
        "recipient": found.recipient,
        "nonce": found.nonce,
        "claim_id": found.claim_id,
        "code": found.code,
        "at": found.at,
    }


def refund_url(found: Finding, token: Token) -> str | None:
    """A link that opens a wallet to give back what is left to give; `None` where nothing is."""
    left = found.refundable - found.refunded
    if left <= 0 or found.payer is None:
        return None
    return solana_pay_url(
        recipient=found.payer,
        amount=left,
        decimals=token.decimals,
        mint=found.mint,
        reference=None,
        memo=f"refund of {found.signature}",
        label=None,
    )
