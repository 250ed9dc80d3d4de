"""Settings from the environment, composed per process; nothing is read before one is constructed.

Every variable can also come from a file: `DATABASE_URL_FILE` names a file that holds `DATABASE_URL`.
"""

import os
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pay402.runtime.errors import OperatorError

Network = Literal["mainnet-beta", "testnet", "devnet", "localnet"]


class _FileVariables(PydanticBaseSettingsSource):
    """Reads `NAME` from the file that `NAME_FILE` names, as secret managers mount them."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        for name in _variable_names(field, field_name):
            if path := os.environ.get(f"{name}_FILE"):
                try:
                    return Path(path).read_text(encoding="utf-8").strip(), name, False
                except OSError as error:
                    raise OperatorError(
                        f"{name}_FILE names {path}, which cannot be read ({error.strerror}); correct it."
                    ) from error
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {}
        for field_name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, field_name)
            if value is not None:
                found[key] = value
        return found


def _variable_names(field: FieldInfo, field_name: str) -> list[str]:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias) if alias else field_name.upper()]


class Settings(BaseSettings):
    """What every process knows about where it runs."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", populate_by_name=True, case_sensitive=True
    )

    app_env: Literal["development", "test", "production"] = Field(
        "development", validation_alias=AliasChoices("APP_ENV", "NODE_ENV")
    )
    home: Path = Field(Path(".pay402"), validation_alias="PAY402_HOME")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - no .env: production forbids it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - NAME_FILE is read instead
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, files named by the environment."""
        return init_settings, env_settings, _FileVariables(settings_cls)

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @property
    def is_production(self) -> bool:
        """True where nothing may be embedded or defaulted."""
        return self.app_env == "production"


class DatabaseSettings(Settings):
    """Where the ledger is. Unset means an embedded Postgres, which production refuses."""

    database_url: SecretStr | None = Field(None, validation_alias="DATABASE_URL")

    @field_validator("database_url")
    @classmethod
    def _scheme(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("it must start with postgresql://")
        return value

    @model_validator(mode="after")
    def _required_in_production(self) -> "DatabaseSettings":
        if self.is_production and self.database_url is None:
            raise ValueError("DATABASE_URL must be set in production")
        return self


class CacheSettings(Settings):
    """Where Redis is. Unset means an embedded Valkey, which production refuses."""

    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL")

    @model_validator(mode="after")
    def _required_in_production(self) -> "CacheSettings":
        if self.is_production and self.redis_url is None:
            raise ValueError("REDIS_URL must be set in production")
        return self


class SolanaSettings(Settings):
    """Which cluster, and through which nodes. Unset means the localnet, which production refuses."""

    solana_network: Network = Field("localnet", validation_alias="SOLANA_NETWORK")
    solana_rpc_url: SecretStr | None = Field(None, validation_alias="SOLANA_RPC_URL")
    solana_ws_url: SecretStr | None = Field(None, validation_alias="SOLANA_WS_URL")

    @model_validator(mode="after")
    def _usable(self) -> "SolanaSettings":
        if self.is_production and self.solana_rpc_url is None:
            raise ValueError("SOLANA_RPC_URL must be set in production")
        if self.is_production and "solana_network" not in self.model_fields_set:
            raise ValueError("SOLANA_NETWORK must be set in production")
        for name, urls, schemes in (
            ("SOLANA_RPC_URL", self.rpc_urls, {"http", "https"}),
            ("SOLANA_WS_URL", self.ws_urls, {"ws", "wss"}),
        ):
            for url in urls:
                try:
                    parts = urlsplit(url)
                    usable = parts.scheme in schemes and parts.hostname and (parts.port is None or parts.port)
                except ValueError:
                    usable = False
                if not usable:
                    raise ValueError(
                        f"{name} must hold {' or '.join(sorted(schemes))} addresses, comma-separated"
                    )
        return self

    @property
    def rpc_urls(self) -> list[str]:
        """JSON-RPC endpoints, best first."""
        return _split(self.solana_rpc_url)

    @property
    def ws_urls(self) -> list[str]:
        """PubSub endpoints: as set, or derived from the RPC endpoints as Solana's own clients do."""
        return _split(self.solana_ws_url) or [derived_ws_url(url) for url in self.rpc_urls]


def derived_ws_url(rpc_url: str) -> str:
    """The PubSub address that belongs to an RPC address.

    `http` becomes `ws`, `https` becomes `wss`. An explicit port is followed by the next one, where a
    validator listens; without a port the provider serves both on the same host.
    """
    parts = urlsplit(rpc_url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    netloc = f"{host}:{parts.port + 1}" if parts.port else str(host)
    if parts.username:
        netloc = f"{parts.username}:{parts.password or ''}@{netloc}"
    return urlunsplit((parts.scheme.replace("http", "ws"), netloc, parts.path, parts.query, ""))


def _split(urls: SecretStr | None) -> list[str]:
    return [url.strip() for url in urls.get_secret_value().split(",") if url.strip()] if urls else []


class IndexerSettings(DatabaseSettings, SolanaSettings):
    """Bounds of an indexer process. Durations in seconds."""

    metrics_port: int = Field(9402, ge=0, le=65535, validation_alias="METRICS_PORT")
    enable_metrics: bool = Field(True, validation_alias="ENABLE_METRICS")
    queue_size: int = Field(10_000, ge=1, validation_alias="INDEXER_QUEUE_SIZE")
    fetch_workers: int = Field(32, ge=1, le=1000, validation_alias="INDEXER_FETCH_WORKERS")
    batch_size: int = Field(500, ge=1, le=10_000, validation_alias="INDEXER_BATCH_SIZE")
    heal_workers: int = Field(8, ge=1, le=100, validation_alias="INDEXER_HEAL_WORKERS")
    patience_seconds: float = Field(30.0, gt=0, validation_alias="INDEXER_PATIENCE_SECONDS")
    silence_seconds: float = Field(15.0, gt=0, validation_alias="INDEXER_SILENCE_SECONDS")
    accounts_per_socket: int = Field(500, ge=1, validation_alias="INDEXER_ACCOUNTS_PER_SOCKET")
    poll_seconds: float = Field(5.0, gt=0, validation_alias="INDEXER_POLL_SECONDS")
    scan_seconds: float = Field(60.0, gt=0, validation_alias="INDEXER_SCAN_SECONDS")
    drain_seconds: float = Field(10.0, ge=0, validation_alias="INDEXER_DRAIN_SECONDS")


S = TypeVar("S", bound=Settings)


def load(settings: type[S]) -> S:
    """Read `settings` from the environment.

    Raises:
        OperatorError: A variable is missing or wrong; the sentence names it, never its value.
    """
    try:
        return settings()
    except ValidationError as error:
        raise OperatorError(_sentence(settings, error)) from None


def _sentence(settings: type[Settings], error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    reason = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return f"{reason}; set it and start again."
    name = str(problem["loc"][0])
    field = settings.model_fields.get(name)
    variable = _variable_names(field, name)[0] if field else name
    return f"{variable} is not usable: {reason[0].lower()}{reason[1:]}; correct it and start again."
