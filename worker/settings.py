"""Settings of a worker process. Durations are in seconds."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from ledger.amounts import parse_thresholds
from runtime.marketplace_settings import MarketplaceSettings
from runtime.settings import PRIVATE, CacheSettings, MetricsSettings, SolanaSettings
from runtime.webhook_settings import WebhookSettings


class WorkerSettings(WebhookSettings, CacheSettings, SolanaSettings, MarketplaceSettings, MetricsSettings):
    """What a worker process needs. Every bound of it is here."""

    metrics_port: int = Field(9403, ge=0, le=65535, validation_alias="METRICS_PORT")  # 0: any free port

    # The secret key of the settlement wallet, or the path of a file that holds it; see worker/signer.py.
    settlement_keypair: Annotated[SecretStr | None, PRIVATE] = Field(None, validation_alias="SETTLEMENT_KEYPAIR")

    # How often pending claims and payments by reference are looked at.
    reconcile_seconds: float = Field(2.0, gt=0, validation_alias="WORKER_RECONCILE_SECONDS")
    # How often every open payment request is searched for, besides the payments that have just arrived.
    sweep_seconds: float = Field(60.0, gt=0, validation_alias="WORKER_SWEEP_SECONDS")
    # How often jobs and payouts are moved on.
    settle_seconds: float = Field(2.0, gt=0, validation_alias="WORKER_SETTLE_SECONDS")
    # How often payments over x402 that are under way are sent again and decided.
    settlement_seconds: float = Field(2.0, gt=0, validation_alias="WORKER_SETTLEMENT_SECONDS")
    # How often what has expired is marked, and old rows are removed.
    housekeeping_seconds: float = Field(60.0, gt=0, validation_alias="WORKER_HOUSEKEEPING_SECONDS")
    # How often a reconciliation report is made without anybody asking.
    report_seconds: float = Field(3600.0, gt=0, validation_alias="WORKER_REPORT_SECONDS")
    # How often what is kept for reports is compared with the whole ledger, which reads all of it.
    report_check_seconds: float = Field(86_400.0, gt=0, validation_alias="WORKER_REPORT_CHECK_SECONDS")
    # How often gauges are brought up to date.
    gauge_seconds: float = Field(15.0, gt=0, validation_alias="WORKER_GAUGE_SECONDS")
    # How often the invariants of money are checked, which reads the whole ledger.
    inspect_seconds: float = Field(300.0, gt=0, validation_alias="WORKER_INSPECT_SECONDS")
    # /health says what is wrong when a pass is without success for five of its intervals and so long.
    pass_grace_seconds: float = Field(60.0, gt=0, validation_alias="WORKER_PASS_GRACE_SECONDS")
    heartbeat_seconds: float = Field(3.0, gt=0, validation_alias="WORKER_HEARTBEAT_SECONDS")

    # Claims decided by one statement.
    page_size: int = Field(2_000, ge=1, le=20_000, validation_alias="WORKER_PAGE_SIZE")
    # The indexer gets so long before the chain is asked about a transaction that the ledger lacks.
    grace_seconds: float = Field(5.0, ge=0, validation_alias="WORKER_GRACE_SECONDS")
    # A claim whose transaction nobody knows stays pending for at least this long.
    expire_seconds: float = Field(120.0, ge=0, validation_alias="WORKER_EXPIRE_SECONDS")
    # How long a payment request is still searched for after it has expired: its payment may be recorded late.
    late_seconds: float = Field(86_400.0, ge=0, validation_alias="WORKER_LATE_SECONDS")
    # The first and the longest pause of a payout that has to wait.
    payout_retry_seconds: float = Field(5.0, gt=0, validation_alias="WORKER_PAYOUT_RETRY_SECONDS")
    payout_retry_max_seconds: float = Field(600.0, gt=0, validation_alias="WORKER_PAYOUT_RETRY_MAX_SECONDS")
    # Offered on top of the fee for each of a payout's 200,000 compute units, in millionths of a lamport: 5,000 make
    # 1,000 lamports. A busy cluster leaves those that offer nothing waiting, until they are signed anew.
    payout_unit_price: int = Field(0, ge=0, le=10_000_000, validation_alias="WORKER_PAYOUT_PRICE_MICROLAMPORTS")
    # What is kept of a payout whose recipient has no account for its token, in units of the token, by symbol. Opening
    # one costs about 0.002 SOL. Without a price a payout waits until its recipient has an account.
    payout_account_prices: str = Field("USDC:1,USDT:1,PYUSD:1", validation_alias="WORKER_PAYOUT_ACCOUNT_PRICES")
    # Refunds that one wallet is sent in a day without anybody asking; the others wait.
    refunds_per_payer_max: int = Field(20, ge=0, validation_alias="WORKER_REFUNDS_PER_PAYER")
    # The network's fees that are not taken from what is paid out, in lamports of 24 hours: for one recipient, and for
    # all together. Beyond that a payout bears its own fee, by the prices above.
    gifts_per_payee_lamports_max: int = Field(500_000, ge=0, validation_alias="WORKER_FEES_PER_PAYEE_LAMPORTS")
    gifts_per_day_lamports_max: int = Field(20_000_000, ge=0, validation_alias="WORKER_FEES_PER_DAY_LAMPORTS")
    # Payouts moved on in one pass.
    payouts_per_pass: int = Field(100, ge=1, le=1_000, validation_alias="WORKER_PAYOUTS_PER_PASS")
    # How long unpaid expired payment requests and finished requests to the indexer are kept.
    keep_days: float = Field(30.0, gt=0, validation_alias="WORKER_KEEP_DAYS")
    # How often events are looked for that nothing has notified of, and how many are published in one transaction.
    feed_poll_seconds: float = Field(0.1, gt=0, validation_alias="WORKER_FEED_POLL_SECONDS")
    feed_events_per_pass: int = Field(1_000, ge=1, le=20_000, validation_alias="WORKER_FEED_EVENTS_PER_PASS")
    # A payment that nobody has claimed for so long after it became final is unmatched: proofs are good for 15 minutes.
    unmatched_seconds: float = Field(1_200.0, gt=0, validation_alias="WORKER_UNMATCHED_SECONDS")
    # How long entries of the feed are kept, and with them how far back readers can catch up.
    feed_keep_days: float = Field(30.0, gt=0, validation_alias="WORKER_FEED_KEEP_DAYS")
    # How often deliveries of webhooks are looked for that nothing has notified of.
    webhook_poll_seconds: float = Field(1.0, gt=0, validation_alias="WORKER_WEBHOOK_POLL_SECONDS")
    # Deliveries under way at the same time, in all, besides those that have gone on for a second, and to one address.
    webhooks_under_way_max: int = Field(200, ge=1, le=5_000, validation_alias="WORKER_WEBHOOKS")
    webhooks_slow_max: int = Field(600, ge=0, le=50_000, validation_alias="WORKER_WEBHOOKS_SLOW")
    webhooks_under_way_each_max: int = Field(8, ge=1, le=1_000, validation_alias="WORKER_WEBHOOKS_EACH")
    # A receiver has so long to answer.
    webhook_answer_seconds: float = Field(15.0, gt=0, le=120, validation_alias="WORKER_WEBHOOK_ANSWER_SECONDS")
    # For how long a delivery is tried again, after how many days of failure an address is switched off, and for how
    # long it is kept what became of deliveries.
    webhook_retry_days: float = Field(3.0, gt=0, validation_alias="WORKER_WEBHOOK_RETRY_DAYS")
    webhook_failing_days: float = Field(5.0, gt=0, validation_alias="WORKER_WEBHOOK_FAILING_DAYS")
    webhook_keep_days: float = Field(14.0, gt=0, validation_alias="WORKER_WEBHOOK_KEEP_DAYS")
    # What is under way at SIGTERM has so long to be finished.
    drain_seconds: float = Field(20.0, ge=0, validation_alias="WORKER_DRAIN_SECONDS")

    @field_validator("payout_account_prices")
    @classmethod
    def _are_prices(cls, value: str) -> str:
        try:
            account_prices(value)
        except ValueError:
            raise ValueError("it must be symbols with prices above 0, such as USDC:1,PYUSD:1") from None
        return value


def account_prices(text: str) -> dict[str, Decimal]:
    """WORKER_PAYOUT_ACCOUNT_PRICES: by symbol, what an account costs in units of the token.

    Raises:
        ValueError: It is written otherwise, or a price is not above 0.
    """
    found = parse_thresholds(text)
    if not all(found.values()):
        raise ValueError(text)
    return found
