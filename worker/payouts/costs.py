"""What sending a payout costs, in units of its own token: what is kept of it, and when it is too small to send.

What goes out must never cost the settlement wallet more than came in: otherwise whoever closes an account again and
again has it opened at our cost. No price feed is trusted with that: an operator sets what an account costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Self

from ledger.amounts import threshold_of
from ledger.tokens import is_sol
from worker.payouts.rows import GiftBudget, Payout
from worker.settings import WorkerSettings, account_prices


@dataclass(frozen=True, slots=True)
class PayoutPolicy:
    """What an operator has set about payouts.

    Attributes:
        account_prices: What is kept of a payout for which an account must be opened, in units of its token, by symbol.
        refunds_per_payer_max: How many refunds one wallet is sent in a day without anybody asking.
        unit_price: What is offered for each compute unit, in millionths of a lamport.
        gifts: The network's fees that are ours to bear.
    """

    account_prices: Mapping[str, Decimal]
    refunds_per_payer_max: int
    unit_price: int
    gifts: GiftBudget

    @classmethod
    def of(cls, settings: WorkerSettings) -> Self:
        """As `settings` say."""
        return cls(
            account_prices(settings.payout_account_prices),
            settings.refunds_per_payer_max,
            settings.payout_unit_price,
            GiftBudget(settings.gifts_per_payee_lamports_max, settings.gifts_per_day_lamports_max),
        )

    def price_of_account(self, payout: Payout, rent_lamports: int) -> int | None:
        """What opening an account costs, in base units of the payout's token; `None` where nobody has set it."""
        if is_sol(payout.mint):
            return rent_lamports
        price = threshold_of(self.account_prices, payout.symbol or "")
        if price is None or payout.decimals is None:
            return None
        return int((price.scaleb(payout.decimals)).to_integral_value(ROUND_CEILING))

    def price_of(self, payout: Payout, lamports: int, rent_lamports: int) -> int | None:
        """What so many lamports are worth, in base units, by what an account costs; `None` as above."""
        price = self.price_of_account(payout, rent_lamports)
        return None if price is None else -(-price * lamports // rent_lamports)
