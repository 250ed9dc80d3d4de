"""What the ledger knows of payments over x402 before they are sent: the owner of the wallet, earlier settlements.

The function takes a database connection or pool.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from ledger.recipients import Recipient, recipient_of_row
from ledger.sql import Database, load_queries
from ledger.states import OPEN_SETTLEMENTS, SettlementStatus

_queries = load_queries("ledger", "payment_standings.sql")


@dataclass(frozen=True, slots=True)
class KnownSettlement:
    """What became of a message that was reserved; see `ledger.settlements.Settlement`."""

    status: SettlementStatus
    reason: str | None
    detail: str | None
    answered_at: dt.datetime | None

    @property
    def is_open(self) -> bool:
        """True while it is not decided."""
        return self.status in OPEN_SETTLEMENTS

    @property
    def is_settled(self) -> bool:
        """True when the ledger has its transfer."""
        return self.status == SettlementStatus.SETTLED


@dataclass(frozen=True, slots=True)
class PaymentStanding:
    """The wallet that is to be paid, whoever's it is, and the message's settlement; `None` for what is not known."""

    recipient: Recipient | None
    settlement: KnownSettlement | None


async def payment_standings(database: Database, payments: Sequence[tuple[str, bytes]]) -> list[PaymentStanding]:
    """The standing of each payment, in their order.

    Args:
        database: A connection or pool.
        payments: The wallet that is to be paid and the SHA-256 of the message, of each.
    """
    wallets, message_hashes = [wallet for wallet, _ in payments], [one for _, one in payments]
    rows = _queries.payment_standings(database, wallets=wallets, message_hashes=message_hashes)
    return [
        PaymentStanding(
            recipient=None if row["address"] is None else recipient_of_row(row),
            settlement=None
            if row["status"] is None
            else KnownSettlement(SettlementStatus(row["status"]), row["reason"], row["detail"], row["answered_at"]),
        )
        async for row in rows
    ]
