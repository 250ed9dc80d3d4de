"""What a reconciliation report says, and how rows of the database become its lines."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from ledger.states import ClaimStatus
from ledger.times import epoch_ms

KINDS: Final = (
    "unmatchedTransfer",
    "unpaidClaim",
    "latePayment",
    "shortPayment",
    "overPayment",
    "duplicatePayment",
)
FINDINGS_KEPT_PER_KIND: Final = 1_000


@dataclass(frozen=True, slots=True)
class NewFinding:
    """Something that does not match: a transfer, a claim or a request; `at` is in milliseconds since 1970."""

    kind: str
    user_id: str
    signature: str | None
    path: str | None
    mint: str
    amount_base_units: int
    expected_base_units: int | None
    payer: str | None
    recipient: str | None
    nonce: str | None
    claim_id: UUID | None
    code: str | None
    at: int


@dataclass(frozen=True, slots=True)
class OtherCredit:
    """What was credited by transfers of a kind that pays for nothing."""

    kind: str
    transfers: int
    credited_base_units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MintTotals:
    """What came in of a token: received by payments, of it matched with claims, and credited in all."""

    mint: str
    symbol: str | None
    decimals: int
    transfers: int
    matched_transfers: int
    received_base_units: int
    matched_base_units: int
    unmatched_base_units: int
    credited_base_units: int
    other_credits: list[OtherCredit]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTotals(MintTotals):
    """What came in of a token for one merchant."""

    user_id: str


@dataclass(frozen=True, slots=True)
class ClaimTotals:
    """The claims of a merchant in a token that stand alike."""

    user_id: str
    mint: str
    status: ClaimStatus
    claims: int
    claimed_base_units: int
    received_base_units: int


@dataclass(frozen=True, slots=True)
class AccountInDoubt:
    """An account about which ledger and chain disagree."""

    user_id: str
    account: str
    recipient: str
    mint: str
    drift_base_units: int
    gaps: int
    reason: str | None
    audited_slot: int | None


@dataclass(frozen=True, slots=True)
class Audit:
    """How far the ledger has been held against the chain."""

    accounts: int
    audited: int
    least_audited_slot: int | None
    drifting: int
    gaps: int
    in_doubt: list[AccountInDoubt]


@dataclass(frozen=True, slots=True)
class ReportedTotals:
    """What a report says of transfers, claims and requests; counts and first findings are by kind."""

    by_user: list[UserTotals]
    claims: list[ClaimTotals]
    counts: dict[str, int]
    findings: dict[str, list[NewFinding]]


@dataclass(frozen=True, slots=True)
class KeptDifference:
    """Something that was kept otherwise than it is counted from the whole ledger: a defect of ours, mended since."""

    subject: str
    kept: str
    counted: str


@dataclass(frozen=True, slots=True)
class Report:
    """The report of one moment, `at` in milliseconds since 1970; lists of findings and their counts are by kind."""

    at: int
    by_mint: list[MintTotals]
    by_user: list[UserTotals]
    claims: list[ClaimTotals]
    counts: dict[str, int]
    findings: dict[str, list[NewFinding]]
    findings_kept_per_kind: int
    audit: Audit
    kept_differences: list[KeptDifference]


def finding_of(row: Mapping[str, Any]) -> NewFinding:
    """A row of any statement that reads findings, as one."""
    return NewFinding(
        kind=row["kind"],
        user_id=row["user_id"],
        signature=row["signature"],
        path=row["path"],
        mint=row["mint"],
        amount_base_units=int(row["amount"]),
        expected_base_units=None if row["expected"] is None else int(row["expected"]),
        payer=row["payer"],
        recipient=row["recipient"],
        nonce=row["nonce"],
        claim_id=row["claim_id"],
        code=row["code"],
        at=epoch_ms(row["at"]),
    )


def totals_of(row: Mapping[str, Any], others: list[OtherCredit]) -> UserTotals:
    """A row of totals of a merchant and mint, with what else was credited there."""
    return UserTotals(
        user_id=row["user_id"],
        mint=row["mint"],
        symbol=row["symbol"],
        decimals=row["decimals"],
        transfers=row["transfers"],
        matched_transfers=row["matched_transfers"],
        received_base_units=int(row["received"]),
        matched_base_units=int(row["matched"]),
        unmatched_base_units=int(row["unmatched"]),
        credited_base_units=int(row["credited"]),
        other_credits=others,
    )


def sum_by_mint(lines: Sequence[UserTotals]) -> list[MintTotals]:
    """The totals of all merchants together, by mint."""
    grouped: defaultdict[str, list[UserTotals]] = defaultdict(list)
    for line in lines:
        grouped[line.mint].append(line)
    return [
        MintTotals(
            mint=mint,
            symbol=same[0].symbol,
            decimals=same[0].decimals,
            transfers=sum(line.transfers for line in same),
            matched_transfers=sum(line.matched_transfers for line in same),
            received_base_units=sum(line.received_base_units for line in same),
            matched_base_units=sum(line.matched_base_units for line in same),
            unmatched_base_units=sum(line.unmatched_base_units for line in same),
            credited_base_units=sum(line.credited_base_units for line in same),
            other_credits=_sum_by_kind(credit for line in same for credit in line.other_credits),
        )
        for mint, same in sorted(grouped.items())
    ]


def _sum_by_kind(credits_of_users: Iterable[OtherCredit]) -> list[OtherCredit]:
    counts: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    for credit in credits_of_users:
        counts[credit.kind] += credit.transfers
        sums[credit.kind] += credit.credited_base_units
    return [OtherCredit(kind, counts[kind], sums[kind]) for kind in sorted(counts)]


def claims_of(row: Mapping[str, Any]) -> ClaimTotals:
    """A row of claims that stand alike."""
    return ClaimTotals(
        row["user_id"],
        row["mint"],
        ClaimStatus(row["status"]),
        row["claims"],
        int(row["claimed"]),
        int(row["received"]),
    )


def in_doubt_of(row: Mapping[str, Any]) -> AccountInDoubt:
    """A row of an account about which ledger and chain disagree."""
    return AccountInDoubt(
        user_id=row["user_id"],
        account=row["address"],
        recipient=row["recipient"],
        mint=row["mint"],
        drift_base_units=int(row["drift"]),
        gaps=row["gaps"],
        reason=row["heal_reason"],
        audited_slot=row["audited_slot"],
    )
