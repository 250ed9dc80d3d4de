"""Settings of an API process. Durations say their unit; limits are per minute."""

from typing import Annotated, Final

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from ledger.amounts import parse_thresholds
from runtime.marketplace_settings import MarketplaceSettings
from runtime.settings import IN_PRODUCTION, PRIVATE, SECRET_CHARACTERS_MIN, CacheSettings, SolanaSettings
from runtime.webhook_settings import WebhookSettings

_ORIGINS_IN_DEVELOPMENT: Final = "http://localhost:3000,http://localhost:5173"


class ApiSettings(WebhookSettings, CacheSettings, SolanaSettings, MarketplaceSettings):
    """What an API process needs."""

    host: str = Field("127.0.0.1", validation_alias="HOST")
    port: int = Field(3001, ge=0, le=65535, validation_alias="PORT")  # 0: any free port
    enable_metrics: bool = Field(True, validation_alias="ENABLE_METRICS")
    # Exact origins of browsers that may call, comma-separated.
    allowed_origins: Annotated[str, IN_PRODUCTION] = Field("", validation_alias="ALLOWED_ORIGINS")
    # Signs access tokens. Unset, which production refuses, a process makes its own, and its tokens end with it.
    jwt_secret: Annotated[SecretStr | None, IN_PRODUCTION] = Field(None, validation_alias="JWT_SECRET")
    # Lets its bearer make the first admin key over HTTP, once.
    bootstrap_token: SecretStr | None = Field(None, validation_alias="BOOTSTRAP_TOKEN")
    # Addresses of load balancers whose X-Forwarded-For is believed, comma-separated.
    trusted_proxies: str = Field("", validation_alias="TRUSTED_PROXIES")

    # Requests a minute; 0 sets no limit.
    public_rate_limit: int = Field(1_000, ge=0, validation_alias="PUBLIC_RATE_LIMIT")
    auth_rate_limit: int = Field(6_000, ge=0, validation_alias="AUTH_RATE_LIMIT")
    verify_rate_limit: int = Field(12_000, ge=0, validation_alias="VERIFY_RATE_LIMIT")

    # How long a verification waits for a payment that is on its way.
    verify_wait_ms: int = Field(2_000, ge=0, le=30_000, validation_alias="VERIFY_WAIT_MS")
    # From which amount on a token needs finality, as SYMBOL:AMOUNT, comma-separated; 0 is every amount.
    finalized_above: str = Field("", validation_alias="FINALIZED_ABOVE")

    # Connections to Postgres.
    pool_size: int = Field(10, ge=2, le=200, validation_alias="API_POOL_SIZE")
    # Claims that a merchant may have pending.
    pending_claims_max: int = Field(10_000, ge=1, validation_alias="API_PENDING_CLAIMS")
    # Verifications that may wait for their payments at the same time.
    waiting_requests_max: int = Field(1_000, ge=1, validation_alias="API_WAITING_REQUESTS")
    # Verifications that may wait to be decided, while the database is slow.
    undecided_max: int = Field(2_000, ge=1, validation_alias="API_UNDECIDED_MAX")
    # The head of a request has so long to arrive, on a new connection or an idle one that begins to speak.
    head_seconds: float = Field(10.0, gt=0, validation_alias="API_HEAD_SECONDS")
    # Whoever does not read an answer keeps it for so long.
    unread_seconds: float = Field(30.0, gt=0, validation_alias="API_UNREAD_SECONDS")
    # A body has so long to arrive.
    body_seconds: float = Field(15.0, gt=0, validation_alias="API_BODY_SECONDS")
    # Requests under way at the same time; beyond, they are refused, to come again.
    requests_max: int = Field(4_000, ge=1, validation_alias="API_REQUESTS_MAX")
    # Streams of events that may be open at the same time, in all and of one user.
    streams_max: int = Field(2_000, ge=1, validation_alias="API_STREAMS")
    streams_per_user_max: int = Field(100, ge=1, validation_alias="API_STREAMS_PER_USER")
    # What is under way at SIGTERM has so long to be answered.
    drain_seconds: float = Field(15.0, ge=0, validation_alias="API_DRAIN_SECONDS")

    # The keys of the wallets that pay the fees of x402 settlements, comma-separated; see api/x402/fee_payers.py.
    x402_fee_payer_keypair: Annotated[SecretStr | None, PRIVATE] = Field(
        None, validation_alias="X402_FEE_PAYER_KEYPAIR"
    )
    # Those that are no longer advertised. Sellers remember fee payers, so payments of theirs go on being settled.
    x402_retired_fee_payer_keypair: Annotated[SecretStr | None, PRIVATE] = Field(
        None, validation_alias="X402_RETIRED_FEE_PAYER_KEYPAIR"
    )
    # What a payment over x402 may cost its fee payer: compute units, and millionths of a lamport for each of them.
    # The defaults come to 6,000 lamports on top of 10,000 for the two signatures.
    x402_compute_units_max: int = Field(60_000, ge=1, le=1_400_000, validation_alias="X402_COMPUTE_UNITS_MAX")
    x402_unit_price_max: int = Field(100_000, ge=0, le=10_000_000, validation_alias="X402_UNIT_PRICE_MAX_MICROLAMPORTS")
    # How long a settlement waits for its verdict before the answer is pending; published clients give up after 90 s.
    x402_wait_seconds: float = Field(20.0, ge=0, le=60, validation_alias="X402_WAIT_SECONDS")
    # A fee payer that holds fewer lamports is warned of: this is enough for 3,000 payments or more.
    x402_low_lamports: int = Field(50_000_000, ge=0, validation_alias="X402_LOW_LAMPORTS")
    # What the fees of settlements may cost in lamports in one day, UTC: in all, for one merchant, for one payer.
    x402_lamports_of_day_max: int = Field(1_000_000_000, ge=0, validation_alias="X402_LAMPORTS_PER_DAY")
    x402_lamports_of_merchant_max: int = Field(100_000_000, ge=0, validation_alias="X402_LAMPORTS_PER_MERCHANT")
    x402_lamports_of_payer_max: int = Field(20_000_000, ge=0, validation_alias="X402_LAMPORTS_PER_PAYER")
    # What part of the first two callers without an API key may use; a merchant's is besides what its key may use.
    x402_keyless_percent: int = Field(20, ge=0, le=100, validation_alias="X402_KEYLESS_PERCENT")

    @field_validator("jwt_secret", "bootstrap_token")
    @classmethod
    def _is_long_in_production(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("app_env") == "production" and _is_short(value):
            raise ValueError(
                f"it must have at least {SECRET_CHARACTERS_MIN} characters, as `openssl rand -hex 32` makes"
            )
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        # A browser sends an origin without the slash that people copy from its address bar.
        origins = [origin.removesuffix("/") for origin in split(value)]
        for origin in origins:
            if "*" in origin or "://" not in origin or origin.count("/") > len("//"):
                raise ValueError("each origin in it must be exact, as https://dashboard.example.com, without wildcards")
        return ",".join(origins)

    @field_validator("finalized_above")
    @classmethod
    def _are_thresholds(cls, value: str) -> str:
        try:
            parse_thresholds(value)
        except ValueError:
            raise ValueError("write it as SYMBOL:AMOUNT, comma-separated, as USDC:100,SOL:0.5") from None
        return value

    @property
    def origins_allowed(self) -> str:
        """ALLOWED_ORIGINS; unset in development, where dashboards run on a developer's machine."""
        if not self.allowed_origins and self.app_env == "development":
            return _ORIGINS_IN_DEVELOPMENT
        return self.allowed_origins

    @property
    def short_secrets(self) -> list[str]:
        """The variables whose secrets are too short for production."""
        secrets = {"JWT_SECRET": self.jwt_secret, "BOOTSTRAP_TOKEN": self.bootstrap_token}
        return [name for name, value in secrets.items() if _is_short(value)]


def _is_short(secret: SecretStr | None) -> bool:
    return secret is not None and len(secret.get_secret_value()) < SECRET_CHARACTERS_MIN


def split(text: str) -> list[str]:
    """The parts of a comma-separated setting."""
    return [part.strip() for part in text.split(",") if part.strip()]
