"""Settings of an indexer process. Durations are in seconds."""

from pydantic import Field

from runtime.settings import DatabaseSettings, MetricsSettings, SolanaSettings


class IndexerSettings(DatabaseSettings, SolanaSettings, MetricsSettings):
    """What an indexer process needs. Every bound of it is here."""

    # Transactions that wait to be fetched; beyond, their accounts are marked for healing instead.
    queue_size: int = Field(10_000, ge=1, validation_alias="INDEXER_QUEUE_SIZE")
    # Transactions fetched at the same time.
    fetch_workers: int = Field(32, ge=1, le=1000, validation_alias="INDEXER_FETCH_WORKERS")
    # Transactions written by one statement, at most.
    batch_size: int = Field(500, ge=1, le=10_000, validation_alias="INDEXER_BATCH_SIZE")
    # Accounts healed at the same time.
    heal_workers: int = Field(8, ge=1, le=100, validation_alias="INDEXER_HEAL_WORKERS")
    # How long a transaction that no node shows yet is asked for before its account is healed instead.
    patience_seconds: float = Field(30.0, gt=0, validation_alias="INDEXER_PATIENCE_SECONDS")
    # A socket on which no slot is heard for so long is dead.
    silence_seconds: float = Field(15.0, gt=0, validation_alias="INDEXER_SILENCE_SECONDS")
    # Providers limit the subscriptions of one connection.
    accounts_per_socket: int = Field(500, ge=1, validation_alias="INDEXER_ACCOUNTS_PER_SOCKET")
    # How often the database is asked for new recipients and marked accounts, besides being notified of them.
    poll_seconds: float = Field(5.0, gt=0, validation_alias="INDEXER_POLL_SECONDS")
    # How often every wallet is searched for token accounts that no notification has shown, two calls a wallet;
    # and how many are searched in a second at most, so that many wallets take longer.
    scan_seconds: float = Field(60.0, gt=0, validation_alias="INDEXER_SCAN_SECONDS")
    scans_per_second: float = Field(10.0, gt=0, validation_alias="INDEXER_SCANS_PER_SECOND")
    # How often confirmed rows are held against what the cluster has rooted.
    finalize_seconds: float = Field(2.0, gt=0, validation_alias="INDEXER_FINALIZE_SECONDS")
    # How often every account is audited; a lost notification is noticed within this time.
    audit_seconds: float = Field(60.0, gt=0, validation_alias="INDEXER_AUDIT_SECONDS")
    # How often every account's history is walked even though its audits are good.
    sweep_seconds: float = Field(3600.0, gt=0, validation_alias="INDEXER_SWEEP_SECONDS")
    # What is under way at SIGTERM has so long to be written.
    drain_seconds: float = Field(10.0, ge=0, validation_alias="INDEXER_DRAIN_SECONDS")
