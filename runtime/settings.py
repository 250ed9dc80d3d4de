"""Settings from the environment, composed per process. Nothing is read before `load` constructs one.

Every variable can also come from a file, as secret managers mount them: `DATABASE_URL_FILE` names a file that holds
`DATABASE_URL`. The variable itself goes first; one that is empty counts as unset. No `.env` file is read.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from chain.cluster_rules import SLOT_SECONDS
from chain.hosts import clear_parts
from ledger.amounts import parse_thresholds
from runtime.errors import OperatorError
from runtime.private_file import refuse_if_open
from runtime.redis_address import usable_redis_address

Network = Literal["mainnet-beta", "testnet", "devnet", "localnet"]

# Marks a field that production must set: nothing is embedded or assumed there.
IN_PRODUCTION: Final = object()
# Marks a field whose file nobody but this process's user may be able to read: a key that moves money.
PRIVATE: Final = object()
_LAST_PORT: Final = 65535

SECRET_CHARACTERS_MIN: Final = 32
"""How many characters a secret of ours must have in production."""


class _FileVariables(PydanticBaseSettingsSource):
    """Reads `NAME` from the file that `NAME_FILE` names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        for name in _variable_names(field, field_name):
            if path := os.environ.get(f"{name}_FILE"):
                try:
                    value = Path(path).read_text(encoding="utf-8").strip()
                    # An empty file holds no secret: it stands where a mount needs one and nothing is configured.
                    if value and PRIVATE in field.metadata:
                        refuse_if_open(Path(path), f"{name}_FILE")
                except (OSError, UnicodeDecodeError) as error:
                    reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
                    raise OperatorError(
                        f"{name}_FILE names {path}, which cannot be read ({reason}); correct the path."
                    ) from error
                return value or None, name, False
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
    """What every process knows about where it runs. Subclasses add a concern each; a process combines them."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        case_sensitive=True,
        frozen=True,
        populate_by_name=True,
        allow_inf_nan=False,  # a wait without end is no bound
    )
    app_env: Literal["development", "test", "production"] = Field(
        "development", validation_alias=AliasChoices("APP_ENV", "NODE_ENV")
    )
    home: Path = Field(Path(".pay402"), validation_alias="PAY402_HOME")
    log_directory: Path | None = Field(None, validation_alias="LOG_DIR")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", validation_alias="LOG_LEVEL")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a forgotten .env must not reach production
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - NAME_FILE is read instead
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, files that the environment names."""
        return init_settings, env_settings, _FileVariables(settings_cls)

    @field_validator("log_level", mode="before")
    @classmethod
    def _as_others_write_it(cls, value: object) -> object:
        level = value.lower() if isinstance(value, str) else value
        return "warning" if level == "warn" else level

    @property
    def is_production(self) -> bool:
        """True where nothing may be embedded or assumed."""
        return self.app_env == "production"


class DatabaseSettings(Settings):
    """Where the ledger is. Unset means an embedded Postgres, which production refuses."""

    database_url: Annotated[SecretStr | None, IN_PRODUCTION] = Field(None, validation_alias="DATABASE_URL")

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_scheme(value.get_secret_value(), {"postgresql", "postgres"})
        return value


class CacheSettings(Settings):
    """Where Redis is. Unset means an embedded Valkey, which production refuses."""

    redis_url: Annotated[SecretStr | None, IN_PRODUCTION] = Field(None, validation_alias="REDIS_URL")

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_scheme(value.get_secret_value(), {"redis", "rediss", "unix"})
            usable_redis_address(value.get_secret_value())
        return value


class SolanaSettings(Settings):
    """Which cluster, and through which nodes. No node means the localnet, which production refuses."""

    solana_network: Annotated[Network, IN_PRODUCTION] = Field("localnet", validation_alias="SOLANA_NETWORK")
    solana_rpc_url: Annotated[SecretStr | None, IN_PRODUCTION] = Field(None, validation_alias="SOLANA_RPC_URL")
    solana_ws_url: SecretStr | None = Field(None, validation_alias="SOLANA_WS_URL")
    # What each endpoint may be asked in a second: a public one allows about 10.
    rpc_requests_per_second: float = Field(1_000.0, gt=0, validation_alias="SOLANA_RPC_REQUESTS_PER_SECOND")

    # How many endpoints have to have seen a payment before it is honoured; never more than there are.
    rpc_witnesses: int = Field(2, ge=1, le=10, validation_alias="RPC_WITNESSES")
    # From which amount on they have to show the same content too, as SYMBOL:AMOUNT, comma-separated; 0 is every amount.
    rpc_content_above: str = Field("", validation_alias="RPC_WITNESS_CONTENT_ABOVE")

    @field_validator("rpc_content_above")
    @classmethod
    def _are_thresholds(cls, value: str) -> str:
        try:
            parse_thresholds(value)
        except ValueError:
            raise ValueError("write it as SYMBOL:AMOUNT, comma-separated, as USDC:1000,SOL:10") from None
        return value

    @field_validator("solana_rpc_url")
    @classmethod
    def _are_http(cls, value: SecretStr | None) -> SecretStr | None:
        _check_endpoints(value, {"http", "https"})
        return value

    @field_validator("solana_ws_url")
    @classmethod
    def _are_websockets(cls, value: SecretStr | None) -> SecretStr | None:
        _check_endpoints(value, {"ws", "wss"})
        return value

    @property
    def block_seconds_min(self) -> float:
        """How long a block of the cluster takes at least; a local chain may be made to go as fast as it can."""
        return 0.0 if self.solana_network == "localnet" else SLOT_SECONDS

    @property
    def rpc_urls(self) -> list[str]:
        """JSON-RPC endpoints, best first; they may carry API keys. Empty without a node."""
        return _split(self.solana_rpc_url)

    @property
    def ws_urls(self) -> list[str]:
        """PubSub endpoints, best first: as set, or derived from the RPC endpoints."""
        return _split(self.solana_ws_url) or [derived_ws_url(url) for url in self.rpc_urls]


class MetricsSettings(Settings):
    """Where a process that serves nothing else shows its metrics and its health."""

    enable_metrics: bool = Field(True, validation_alias="ENABLE_METRICS")
    metrics_port: int = Field(9402, ge=0, le=65535, validation_alias="METRICS_PORT")  # 0: any free port
    # Loopback, until an operator opens it: a container is scraped from outside.
    metrics_host: str = Field("127.0.0.1", min_length=1, validation_alias="METRICS_HOST")


class LoginSettings(Settings):
    """The addresses that the processes are given, for whoever migrates to make their logins."""

    api_database_url: SecretStr | None = Field(None, validation_alias="API_DATABASE_URL")
    indexer_database_url: SecretStr | None = Field(None, validation_alias="INDEXER_DATABASE_URL")
    worker_database_url: SecretStr | None = Field(None, validation_alias="WORKER_DATABASE_URL")

    @property
    def by_role(self) -> dict[str, str]:
        """Those that are set, by the role of their login."""
        found = {
            "pay402_api": self.api_database_url,
            "pay402_indexer": self.indexer_database_url,
            "pay402_worker": self.worker_database_url,
        }
        return {role: address.get_secret_value() for role, address in found.items() if address is not None}


S = TypeVar("S", bound=Settings)


def load(settings: type[S]) -> S:
    """Read `settings` from the environment.

    Raises:
        OperatorError: Variables are missing or one is wrong; the sentence names them, never a secret value.
    """
    try:
        loaded = settings()
    except ValidationError as error:
        raise OperatorError(_sentence(settings, error)) from None
    if loaded.is_production and (missing := _missing(loaded)):
        names = f"{', '.join(missing[:-1])} and {missing[-1]}" if missing[1:] else missing[0]
        raise OperatorError(f"In production {names} must be set; set {'them' if missing[1:] else 'it'}.")
    return loaded


def _missing(loaded: Settings) -> list[str]:
    return sorted(
        _variable_names(field, name)[0]
        for name, field in type(loaded).model_fields.items()
        if IN_PRODUCTION in field.metadata and name not in loaded.model_fields_set
    )


def derived_ws_url(rpc_url: str) -> str:
    """The PubSub address that belongs to an RPC address, as Solana's own clients derive it.

    `http` becomes `ws`, `https` becomes `wss`. A validator serves PubSub on the port after that of its RPC, so an
    explicit port is raised by one; a provider's address without a port keeps its host and path.
    """
    parts = urlsplit(rpc_url)
    user, at, address = parts.netloc.rpartition("@")
    if parts.port is not None:
        address = f"{address.rpartition(':')[0]}:{parts.port + 1}"
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, f"{user}{at}{address}", parts.path, parts.query, ""))


def _split(urls: SecretStr | None) -> list[str]:
    return [url.strip() for url in urls.get_secret_value().split(",") if url.strip()] if urls else []


def _check_scheme(address: str, schemes: set[str]) -> None:
    """Raise ValueError, without the address in it, unless it begins with one of these schemes."""
    if address.partition("://")[0] not in schemes:
        names = " or ".join(f"{scheme}://" for scheme in sorted(schemes))
        raise ValueError(f"it must be an address that begins with {names}")


def _check_endpoints(value: SecretStr | None, schemes: set[str]) -> None:
    """Raise ValueError unless `value` lists one endpoint or more, each with a scheme, a host and a sound port."""
    if value is not None and not _split(value):
        raise ValueError("it must hold at least one address")
    for url in _split(value):
        _check_scheme(url, schemes)
        parts = clear_parts(url)
        # The address derived from this one may use the next port.
        if parts is None or not parts.hostname or (parts.port or 0) >= _LAST_PORT:
            raise ValueError(
                f"each address in it must have a host, and a port below {_LAST_PORT} if any, with / # ? and @ in a "
                "password as %2F %23 %3F %40"
            )


def _sentence(settings: type[Settings], error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    # pydantic names a field by the first of its variables, whichever of them was set.
    first = str(problem["loc"][0])
    names = next(
        (names for name, field in settings.model_fields.items() if first in (names := _variable_names(field, name))),
        [first],
    )
    variable = next((name for name in names if os.environ.get(name) or os.environ.get(f"{name}_FILE")), first)
    if problem["type"] == "literal_error":
        # What is one of a few words is no secret, and seeing it helps.
        value = os.environ.get(variable)
        given = f"is {value!r}, but it must be" if value else "must be"
        return f"{variable} {given} {problem['ctx']['expected']}; correct it."
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{variable} is not usable: {reason[0].lower()}{reason[1:]}; correct it."
