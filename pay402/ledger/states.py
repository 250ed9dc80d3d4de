"""Statuses and the steps between them, one table each. The database holds the same tables and refuses other steps.

`docs/states.md` is drawn from here.
"""

from enum import StrEnum
from typing import Final


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
    """It can never be honoured; `code` says why."""
    EXPIRED = "expired"
    """Nothing was seen of its transaction in time."""


HONOURED: Final = frozenset({ClaimStatus.CONFIRMED, ClaimStatus.FINALIZED, ClaimStatus.REVERSED})
"""Statuses in which a claim holds a transfer and has used up its nonce."""

NEW: Final = "new"
"""Where every row comes from."""

CLAIM_STEPS: Final = {
    NEW: frozenset({ClaimStatus.PENDING, ClaimStatus.CONFIRMED, ClaimStatus.FINALIZED}),
    ClaimStatus.PENDING: frozenset({ClaimStatus.CONFIRMED, ClaimStatus.FAILED, ClaimStatus.EXPIRED}),
    ClaimStatus.CONFIRMED: frozenset({ClaimStatus.FINALIZED, ClaimStatus.REVERSED}),
    ClaimStatus.REVERSED: frozenset({ClaimStatus.CONFIRMED, ClaimStatus.FAILED}),
}

MACHINES: Final = {"claim": CLAIM_STEPS}
"""Every state machine by the name that the database knows it by."""
