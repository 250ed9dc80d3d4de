"""What is answered about a payment that was to be settled."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from api.x402.settle_bodies import PaymentBody, SettleAnswer, SettlementExtra
from api.x402.verdict import Reason, Refused
from ledger.settlements import FailureReason, Settlement
from ledger.states import ClaimStatus, Finality, shown_status
from ledger.times import epoch_ms

_FAILURES: Final = {
    FailureReason.FAILED_ON_CHAIN: "The payment failed on chain and moved no money ({}); sign a new one.",
    FailureReason.NEVER_LANDED: "The payment did not land before its blockhash expired and never will; sign a new one.",
    FailureReason.PAID_ANOTHER: "The payment landed, but {}, so payTo has nothing of it; ask the seller.",
}


@dataclass(frozen=True, slots=True)
class SettleResult:
    """An answer; `answering` is the payment that it says to be settled, to be noted once the answer is out."""

    answer: SettleAnswer
    is_pending: bool = False
    answering: UUID | None = None


def finality_of(known: Settlement) -> Finality | None:
    """Whether the transfer of a settled payment can still be undone; `None` for one that is not settled."""
    if not known.is_settled or known.claim_status is None:
        return None
    return shown_status(ClaimStatus(known.claim_status))[1]


def payment_body(found: Settlement) -> PaymentBody:
    """Where a payment stands, as it is shown."""
    is_failed = not found.is_open and not found.is_settled
    return PaymentBody(
        id=found.id,
        status="pending" if found.is_open else "failed" if is_failed else "completed",
        reason=found.reason,
        message=found.detail,
        transaction=found.signature,
        network=found.network,
        slot=found.slot,
        finality=finality_of(found),
        last_valid_block_height=found.last_valid_block_height,
        created_at=epoch_ms(found.created_at),
        decided_at=epoch_ms(found.decided_at),
    )


def refused(error: Refused, network: str) -> SettleResult:
    """Nothing was sent."""
    return SettleResult(
        SettleAnswer(
            success=False,
            error_reason=error.reason,
            error_message=error.message,
            payer=error.payer,
            transaction="",
            network=network,
        )
    )


def succeeded(known: Settlement, *, answering: UUID | None = None) -> SettleResult:
    """The ledger has its transfer."""
    return SettleResult(
        SettleAnswer(
            success=True,
            payer=known.payer,
            transaction=known.signature,
            network=known.network,
            amount=str(known.amount),
            extra=_extra(known),
        ),
        answering=answering,
    )


def pending(known: Settlement) -> SettleResult:
    """It is under way, and goes on whether or not anybody asks."""
    return SettleResult(
        _unsuccessful(
            known, Reason.SETTLEMENT_PENDING, "The payment was sent and is not decided yet; repeat the request."
        ),
        is_pending=True,
    )


def failed(known: Settlement) -> SettleResult:
    """It has failed for good."""
    reason = FailureReason(known.reason or FailureReason.FAILED_ON_CHAIN)
    return SettleResult(
        _unsuccessful(known, reason, _FAILURES[reason].format(known.detail or "the nodes named no cause"))
    )


def duplicate(known: Settlement) -> SettleResult:
    """It was settled, and that was answered before."""
    return SettleResult(
        _unsuccessful(
            known,
            Reason.DUPLICATE_SETTLEMENT,
            "The payment was settled before, and has paid for something; make a new one.",
        )
    )


def _unsuccessful(known: Settlement, reason: str, message: str) -> SettleAnswer:
    return SettleAnswer(
        success=False,
        error_reason=reason,
        error_message=message,
        payer=known.payer,
        transaction=known.signature,
        network=known.network,
        extra=_extra(known),
    )


def _extra(known: Settlement) -> SettlementExtra:
    return SettlementExtra(payment_id=known.id, slot=known.slot, finality=finality_of(known))
