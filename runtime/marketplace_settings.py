"""What API and worker must agree about in the marketplace."""

from pydantic import Field, field_validator

from chain.addresses import parse_address
from runtime.settings import Settings


class MarketplaceSettings(Settings):
    """Where jobs are paid to, and how long each party has."""

    # The wallet that holds what is paid for jobs. Without one no job can be ordered.
    settlement_wallet: str | None = Field(None, validation_alias="SETTLEMENT_WALLET")
    # A job that is not funded within this time has expired.
    funding_seconds: float = Field(86_400.0, gt=0, validation_alias="MARKETPLACE_FUNDING_SECONDS")
    # The deadline of a job whose client sets none.
    job_seconds: float = Field(7 * 86_400.0, gt=0, validation_alias="MARKETPLACE_JOB_SECONDS")
    # A client who neither approves nor disputes what was submitted has approved it after this time.
    review_seconds: float = Field(3 * 86_400.0, gt=0, validation_alias="MARKETPLACE_REVIEW_SECONDS")

    # Symbols of the tokens in which services have their prices, comma-separated.
    marketplace_currencies: str = Field("USDC,USDT,PYUSD,SOL", validation_alias="MARKETPLACE_CURRENCIES")

    @property
    def currencies(self) -> tuple[str, ...]:
        """The symbols of `marketplace_currencies`, in capitals."""
        return tuple(symbol.strip().upper() for symbol in self.marketplace_currencies.split(",") if symbol.strip())

    @field_validator("marketplace_currencies")
    @classmethod
    def _names_a_currency(cls, value: str) -> str:
        if not value.replace(",", "").strip():
            raise ValueError("name at least one symbol, as USDC,SOL")
        return value

    @field_validator("settlement_wallet")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and (value := parse_address(value)) is None:
            raise ValueError("it must be the base58 address of a wallet")
        return value
