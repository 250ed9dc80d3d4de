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

    @field_validator("settlement_wallet")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and (value := parse_address(value)) is None:
            raise ValueError("it must be the base58 address of a wallet")
        return value
