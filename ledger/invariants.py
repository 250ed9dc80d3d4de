"""What must be true of money at any moment. Each invariant is one query, which finds the rows that break it.

Run by tests, by `pay402 doctor`, and by the worker, which shows them as metrics.
"""

from dataclasses import dataclass
from typing import Final

from ledger.sql import Database, load_queries

_queries = load_queries("ledger", "invariants.sql")


INVARIANTS: Final = (
    "claims_within_their_transfers",
    "one_claim_per_transfer",
    "one_payment_per_nonce",
    "final_claims_stand",
    "events_of_claims_are_a_way",
    "funding_is_whole",
    "escrow_is_the_price",
    "paid_out_and_held_are_funded",
    "one_transfer_per_payout",
    "settled_payouts_are_paid",
    "gross_out_within_received",
    "rent_is_taken_from_payouts",
    "lamports_are_borne",
    "settled_jobs_are_paid",
    "earnings_are_released",
    "totals_are_their_claims",
    "settled_payments_are_claimed",
    "failed_payments_moved_nothing",
)
_ROWS_PER_INVARIANT_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Violation:
    """A row that breaks an invariant: what was found there, and what should be."""

    invariant: str
    subject: str
    found: int
    expected: int


async def check_invariants(database: Database) -> list[Violation]:
    """Everything that breaks an invariant, at most 100 rows of each."""
    checks = {
        "claims_within_their_transfers": _queries.claims_within_their_transfers(
            database, limit=_ROWS_PER_INVARIANT_MAX
        ),
        "one_claim_per_transfer": _queries.one_claim_per_transfer(database, limit=_ROWS_PER_INVARIANT_MAX),
        "one_payment_per_nonce": _queries.one_payment_per_nonce(database, limit=_ROWS_PER_INVARIANT_MAX),
        "final_claims_stand": _queries.final_claims_stand(database, limit=_ROWS_PER_INVARIANT_MAX),
        "events_of_claims_are_a_way": _queries.events_of_claims_are_a_way(database, limit=_ROWS_PER_INVARIANT_MAX),
        "funding_is_whole": _queries.funding_is_whole(database, limit=_ROWS_PER_INVARIANT_MAX),
        "escrow_is_the_price": _queries.escrow_is_the_price(database, limit=_ROWS_PER_INVARIANT_MAX),
        "paid_out_and_held_are_funded": _queries.paid_out_and_held_are_funded(database, limit=_ROWS_PER_INVARIANT_MAX),
        "one_transfer_per_payout": _queries.one_transfer_per_payout(database, limit=_ROWS_PER_INVARIANT_MAX),
        "settled_payouts_are_paid": _queries.settled_payouts_are_paid(database, limit=_ROWS_PER_INVARIANT_MAX),
        "gross_out_within_received": _queries.gross_out_within_received(database, limit=_ROWS_PER_INVARIANT_MAX),
        "rent_is_taken_from_payouts": _queries.rent_is_taken_from_payouts(database, limit=_ROWS_PER_INVARIANT_MAX),
        "lamports_are_borne": _queries.lamports_are_borne(database, limit=_ROWS_PER_INVARIANT_MAX),
        "settled_jobs_are_paid": _queries.settled_jobs_are_paid(database, limit=_ROWS_PER_INVARIANT_MAX),
        "earnings_are_released": _queries.earnings_are_released(database, limit=_ROWS_PER_INVARIANT_MAX),
        "totals_are_their_claims": _queries.totals_are_their_claims(database, limit=_ROWS_PER_INVARIANT_MAX),
        "settled_payments_are_claimed": _queries.settled_payments_are_claimed(database, limit=_ROWS_PER_INVARIANT_MAX),
        "failed_payments_moved_nothing": _queries.failed_payments_moved_nothing(
            database, limit=_ROWS_PER_INVARIANT_MAX
        ),
    }
    assert tuple(checks) == INVARIANTS
    return [
        Violation(name, row["subject"], int(row["found"]), int(row["expected"]))
        for name, rows in checks.items()
        async for row in rows
    ]
