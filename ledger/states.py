"""Statuses and the steps between them, one table each. The database holds the same tables and refuses other steps.

`docs/states.md` is drawn from here.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal


class ClaimStatus(StrEnum):
    """Where a claimed payment stands."""

    PENDING = "pending"
    """Its transaction is not in the ledger yet."""
    CONFIRMED = "confirmed"
    """It has its transfer, which the cluster has voted for."""
    FINALIZED = "finalized"
    """It has its transfer, which can never be undone."""
    REVERSED = "reversed"
    """It had its transfer, whose fork was abandoned."""
    FAILED = "failed"
    """It was not honoured; `code` says why. Only its own transaction can change that, when it lands after all."""
    EXPIRED = "expired"
    """Nothing was seen of its transaction in time. One with a durable nonce may land later, and is honoured then."""


HONOURED: Final = frozenset({ClaimStatus.CONFIRMED, ClaimStatus.FINALIZED, ClaimStatus.REVERSED})
"""Statuses in which a claim holds a transfer and has used up its nonce; SQL says `claim_holds_transfer`."""

ShownStatus = Literal["pending", "confirmed", "failed", "expired", "reversed"]
"""A claim's status as clients have it."""

Finality = Literal["confirmed", "finalized"]
"""Whether the transfer of a claim can still be undone."""

_SHOWN: Final[Mapping[ClaimStatus, tuple[ShownStatus, Finality | None]]] = {
    ClaimStatus.PENDING: ("pending", None),
    ClaimStatus.CONFIRMED: ("confirmed", "confirmed"),
    ClaimStatus.FINALIZED: ("confirmed", "finalized"),
    ClaimStatus.REVERSED: ("reversed", None),
    ClaimStatus.FAILED: ("failed", None),
    ClaimStatus.EXPIRED: ("expired", None),
}


def shown_status(status: ClaimStatus) -> tuple[ShownStatus, Finality | None]:
    """A claim's status as clients have it, who know no `finalized`, and the finality that stands beside it."""
    return _SHOWN[status]


_SHOWN_TRANSFERS: Final[Mapping[str, tuple[ShownStatus, Finality | None]]] = {
    "pending": ("pending", None),
    "confirmed": ("confirmed", "confirmed"),
    "finalized": ("confirmed", "finalized"),
    "orphaned": ("reversed", None),
}


def shown_finality(finality: str) -> tuple[ShownStatus, Finality | None]:
    """A recorded transfer's finality as clients have it: the status of a claim that took it, and that finality.

    `pending` is one that too few nodes have seen.
    """
    return _SHOWN_TRANSFERS[finality]


NEW: Final = "new"
"""Where every row comes from."""

CLAIM_STEPS: Final = {
    NEW: frozenset({ClaimStatus.PENDING, ClaimStatus.CONFIRMED, ClaimStatus.FINALIZED}),
    ClaimStatus.PENDING: frozenset({ClaimStatus.CONFIRMED, ClaimStatus.FAILED, ClaimStatus.EXPIRED}),
    ClaimStatus.CONFIRMED: frozenset({ClaimStatus.FINALIZED, ClaimStatus.REVERSED}),
    ClaimStatus.REVERSED: frozenset({ClaimStatus.CONFIRMED, ClaimStatus.FAILED}),
    ClaimStatus.FAILED: frozenset({ClaimStatus.CONFIRMED}),
    ClaimStatus.EXPIRED: frozenset({ClaimStatus.CONFIRMED}),
}


class JobStatus(StrEnum):
    """Where a job stands between client and provider. Money has its own status, `EscrowStatus`."""

    PENDING = "pending"
    """It is ordered."""
    ACCEPTED = "accepted"
    """The provider will do it."""
    IN_PROGRESS = "in_progress"
    """The provider says that work has begun; a job can be submitted without this."""
    COMPLETED = "completed"
    """The provider has submitted its output."""
    APPROVED = "approved"
    """The client is content, or let the time for a dispute pass: the provider is paid."""
    DISPUTED = "disputed"
    """One of the two disagrees; an administrator decides."""
    CANCELLED = "cancelled"
    """It will not be done: whatever was paid goes back."""
    EXPIRED = "expired"
    """It was not funded or not done in time: whatever was paid goes back."""


class EscrowStatus(StrEnum):
    """Where a job's money is, moved only by what the ledger shows."""

    PENDING = "pending"
    """Nothing that pays the job is finalized yet."""
    ESCROWED = "escrowed"
    """A finalized transfer has paid the price."""
    DISPUTED = "disputed"
    """It is held until an administrator decides."""
    RELEASED = "released"
    """It has reached the provider, finalized."""
    REFUNDED = "refunded"
    """It has gone back to the payer, finalized."""


class PayoutStatus(StrEnum):
    """How far a payout has come."""

    QUEUED = "queued"
    """It is to be signed and sent."""
    WAITING = "waiting"
    """Something is missing, such as funds; it is tried again later."""
    AWAITING_SIGNATURE = "awaiting_signature"
    """Its unsigned transaction is made, for an operator to sign."""
    SIGNED = "signed"
    """Its signed bytes are stored; whether anybody has seen them is not known."""
    SENT = "sent"
    """A node has taken it; the same bytes are sent again until it is final or can never land."""
    SETTLED = "settled"
    """The ledger has it, finalized."""


class SettlementStatus(StrEnum):
    """How far a payment over x402 has come that we signed as its fee payer."""

    SIGNED = "signed"
    """Its signed bytes are stored; whether anybody has seen them is not known."""
    SENT = "sent"
    """A node has taken it, or a fork has undone it; the same bytes are sent again until it is decided."""
    SETTLED = "settled"
    """The ledger has its transfer, which a claim holds."""
    FAILED = "failed"
    """It failed on chain, finalized, or can never land; `reason` says which."""


OPEN_SETTLEMENTS: Final = frozenset({SettlementStatus.SIGNED, SettlementStatus.SENT})
"""Statuses of a settlement whose transaction may still land; SQL says `settlement_is_open`."""

JOB_STEPS: Final = {
    NEW: frozenset({JobStatus.PENDING}),
    JobStatus.PENDING: frozenset({JobStatus.ACCEPTED, JobStatus.CANCELLED, JobStatus.EXPIRED}),
    JobStatus.ACCEPTED: frozenset(
        {JobStatus.IN_PROGRESS, JobStatus.COMPLETED, JobStatus.DISPUTED, JobStatus.CANCELLED, JobStatus.EXPIRED}
    ),
    JobStatus.IN_PROGRESS: frozenset({JobStatus.COMPLETED, JobStatus.DISPUTED, JobStatus.CANCELLED, JobStatus.EXPIRED}),
    JobStatus.COMPLETED: frozenset({JobStatus.APPROVED, JobStatus.DISPUTED}),
    JobStatus.DISPUTED: frozenset({JobStatus.APPROVED, JobStatus.CANCELLED}),
}

ESCROW_STEPS: Final = {
    NEW: frozenset({EscrowStatus.PENDING}),
    EscrowStatus.PENDING: frozenset({EscrowStatus.ESCROWED}),
    EscrowStatus.ESCROWED: frozenset({EscrowStatus.DISPUTED, EscrowStatus.RELEASED, EscrowStatus.REFUNDED}),
    EscrowStatus.DISPUTED: frozenset({EscrowStatus.RELEASED, EscrowStatus.REFUNDED}),
}

# The ledger has the last word: whatever we believe of a payout, one that it shows finalized is settled.
PAYOUT_STEPS: Final = {
    NEW: frozenset({PayoutStatus.QUEUED}),
    PayoutStatus.QUEUED: frozenset(
        {PayoutStatus.WAITING, PayoutStatus.AWAITING_SIGNATURE, PayoutStatus.SIGNED, PayoutStatus.SETTLED}
    ),
    PayoutStatus.WAITING: frozenset({PayoutStatus.QUEUED, PayoutStatus.SETTLED}),
    PayoutStatus.AWAITING_SIGNATURE: frozenset({PayoutStatus.QUEUED, PayoutStatus.SIGNED, PayoutStatus.SETTLED}),
    PayoutStatus.SIGNED: frozenset({PayoutStatus.QUEUED, PayoutStatus.SENT, PayoutStatus.SETTLED}),
    PayoutStatus.SENT: frozenset({PayoutStatus.QUEUED, PayoutStatus.SETTLED}),
}

# The ledger has the last word here too: what it has is settled, whatever nodes said of it, and what a fork undid is
# sent again.
SETTLEMENT_STEPS: Final = {
    NEW: frozenset({SettlementStatus.SIGNED}),
    SettlementStatus.SIGNED: frozenset({SettlementStatus.SENT, SettlementStatus.SETTLED, SettlementStatus.FAILED}),
    SettlementStatus.SENT: frozenset({SettlementStatus.SETTLED, SettlementStatus.FAILED}),
    SettlementStatus.SETTLED: frozenset({SettlementStatus.SENT}),
    SettlementStatus.FAILED: frozenset({SettlementStatus.SETTLED}),
}

MACHINES: Final[dict[str, tuple[type[StrEnum], Mapping[str, frozenset[StrEnum]]]]] = {
    "claim": (ClaimStatus, CLAIM_STEPS),
    "job": (JobStatus, JOB_STEPS),
    "escrow": (EscrowStatus, ESCROW_STEPS),
    "payout": (PayoutStatus, PAYOUT_STEPS),
    "settlement": (SettlementStatus, SETTLEMENT_STEPS),
}
"""Every state machine by the name that the database knows it by: its statuses and its steps."""
