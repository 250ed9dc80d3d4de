"""What the analytics routes answer."""

import uuid
from typing import Any, Literal

from pydantic import Field

from api.http.fields import BaseUnitsText, EpochMs, ExactAmount
from api.http.json import AnswerShape


class RoutesBody(AnswerShape):
    """The other routes of analytics."""

    routes: list[str]


class ClaimBody(AnswerShape):
    """A claimed payment; `slot` and `path` name the transfer that honours it."""

    id: uuid.UUID
    signature: str
    payer: str
    recipient: str | None
    amount: ExactAmount
    amount_base_units: BaseUnitsText
    received: ExactAmount | None = Field(description="What the transfer credited")
    received_base_units: BaseUnitsText | None
    currency: str
    mint: str
    resource: str | None
    status: Literal["pending", "confirmed", "failed", "expired", "reversed"]
    finality: Literal["confirmed", "finalized"] | None = Field(
        description="Whether the transfer of a confirmed payment can still be undone; null without one"
    )
    code: str | None = Field(description="Why it came to nothing")
    nonce: str
    slot: int | None
    path: str | None
    user_id: str
    agent_id: str | None
    environment: str
    timestamp: EpochMs


class Page(AnswerShape):
    """Part of a list."""

    total: int = Field(description="Of the whole list")
    total_is_lower_bound: bool = Field(description="True where counting was given up at `total`")
    limit: int
    offset: int


class ClaimsPage(Page):
    """Claims, newest first."""

    transactions: list[ClaimBody]


class RevenuePart(AnswerShape):
    """Revenue of one part of the period, in the currency of the whole."""

    date: str = Field(description="A day (UTC), or a moment where parts are shorter")
    start_time: EpochMs
    amount: ExactAmount
    amount_base_units: BaseUnitsText
    transaction_count: int


class RevenueBody(AnswerShape):
    """Revenue in one currency; `byCurrency` has every one."""

    period: str
    revenue: ExactAmount
    total: ExactAmount
    total_base_units: BaseUnitsText
    currency: str
    transaction_count: int
    by_currency: dict[str, ExactAmount]
    by_currency_base_units: dict[str, BaseUnitsText]
    breakdown: list[RevenuePart]
    start_time: EpochMs
    end_time: EpochMs


class AgentBody(AnswerShape):
    """What an agent spent."""

    agent_id: str
    agent_name: str
    total_spent: ExactAmount
    total_amount: ExactAmount
    total_amount_base_units: BaseUnitsText
    transaction_count: int
    last_active: EpochMs


class AgentsBody(AnswerShape):
    """Agents that spent most of a currency, the biggest spender first."""

    agents: list[AgentBody]
    currency: str
    period: str


class EventBody(AnswerShape):
    """Something that happened to `subject`."""

    id: int
    type: str
    timestamp: EpochMs
    subject: str
    agent_id: str | None
    data: Any


class EventsPage(Page):
    """Events, newest first."""

    events: list[EventBody]


class OtherCredit(AnswerShape):
    """Credits that are no payments, of one kind; `internal` is what moved between accounts of one owner."""

    kind: str
    transfers: int
    credited: ExactAmount
    credited_base_units: BaseUnitsText


class ReportMint(AnswerShape):
    """What came in of a token by payments, what of it honours claims, and what else was credited."""

    mint: str
    currency: str
    transfers: int
    matched_transfers: int
    received: ExactAmount
    received_base_units: BaseUnitsText
    matched: ExactAmount
    matched_base_units: BaseUnitsText
    unmatched: ExactAmount
    unmatched_base_units: BaseUnitsText
    credited: ExactAmount = Field(description="All that was credited: received, and every other credit")
    credited_base_units: BaseUnitsText
    other_credits: list[OtherCredit]


class ReportClaim(AnswerShape):
    """The claims of a merchant in one token that stand alike."""

    user_id: str
    mint: str
    status: Literal["pending", "confirmed", "finalized", "failed", "expired", "reversed"]
    claims: int
    claimed_base_units: BaseUnitsText
    received_base_units: BaseUnitsText


class ReportFinding(AnswerShape):
    """Something that does not match."""

    kind: str
    user_id: str
    signature: str | None
    path: str | None
    mint: str
    amount_base_units: BaseUnitsText
    expected_base_units: BaseUnitsText | None
    payer: str | None
    recipient: str | None
    nonce: str | None
    claim_id: uuid.UUID | None
    code: str | None
    at: EpochMs


class AccountInDoubt(AnswerShape):
    """An account about which ledger and chain disagree."""

    user_id: str
    account: str
    recipient: str
    mint: str
    drift_base_units: str = Field(description="The chain's balance less the ledger's; may be negative")
    gaps: int
    reason: str | None = Field(description="Why it was not healed yet")
    audited_slot: int | None = Field(description="Up to where it was found complete")


class ReportBody(AnswerShape):
    """A reconciliation: claims held against transfers, and the ledger against the chain."""

    id: uuid.UUID
    at: EpochMs = Field(description="The moment that it is about")
    finished_at: EpochMs
    matched: dict[str, ExactAmount] = Field(description="By currency, what honours claims")
    unmatched: dict[str, ExactAmount] = Field(description="By currency, what nobody has claimed")
    drift: int = Field(description="Accounts whose balance is not the chain's")
    gaps: int = Field(description="Breaks in the chains of balance changes")
    by_mint: list[ReportMint]
    claims: list[ReportClaim] = Field(description="Claims by merchant, token and status")
    counts: dict[str, int] = Field(description="How many findings there are of each kind")
    findings: dict[str, list[ReportFinding]] = Field(description="The first findings of each kind")
    accounts_in_doubt: list[AccountInDoubt]
