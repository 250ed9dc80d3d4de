"""The whole examination: settings, database, Redis and nodes, each by itself and within bounds."""

import asyncio
from contextlib import suppress
from typing import Final

from pydantic import Field, SecretStr

from api.settings import ApiSettings
from cli.diagnosis import cache, configuration, database, fee_payers, nodes
from cli.diagnosis.diagnoses import Diagnosis, bounded, from_sentence, good
from cli.system.localnet_address import solana_endpoints
from indexer.settings import IndexerSettings
from runtime.embedded.servers import database_address, redis_address
from runtime.errors import OperatorError
from runtime.settings import CacheSettings, DatabaseSettings, Settings, SolanaSettings, load
from runtime.webhook_seal import WebhookSeal
from runtime.webhook_settings import WebhookSettings
from worker.settings import WorkerSettings
from worker.signer import load_signer

_PART_SECONDS: Final = 60.0


class _WebSettings(Settings):
    jwt_secret: SecretStr | None = Field(None, validation_alias="JWT_SECRET")
    bootstrap_token: SecretStr | None = Field(None, validation_alias="BOOTSTRAP_TOKEN")
    webhook_key: SecretStr | None = Field(None, validation_alias="WEBHOOK_KEY")
    allowed_origins: str | None = Field(None, validation_alias="ALLOWED_ORIGINS")


async def examine(*, at_rest: bool) -> list[Diagnosis]:
    """Every diagnosis of every part: what is wrong with one does not hide another.

    `at_rest` expects no indexer to be running.
    """
    parts = await asyncio.gather(
        bounded("settings", "reading", _PART_SECONDS, _settings()),
        bounded("database", "answers", _PART_SECONDS, _database(at_rest=at_rest)),
        bounded("redis", "answers", _PART_SECONDS, _redis()),
        bounded("nodes", "answers", _PART_SECONDS, _nodes()),
    )
    return [diagnosis for part in parts for diagnosis in part]


async def _settings() -> list[Diagnosis]:
    found = []
    for kind in (ApiSettings, IndexerSettings):
        try:
            load(kind)
        except OperatorError as error:
            found.append(from_sentence("settings", "complete", str(error)))
    settings = load(_WebSettings)
    found += _settlement_key()
    if not any(diagnosis.part == "settings" for diagnosis in found):
        found.append(good("settings", "complete", f"for {settings.app_env}"))
    production = settings.is_production
    token = settings.bootstrap_token.get_secret_value() if settings.bootstrap_token else None
    jwt = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
    found += configuration.secret("JWT_SECRET", jwt, needed=production)
    found += configuration.secret("BOOTSTRAP_TOKEN", token, needed=False)
    keys = settings.webhook_key.get_secret_value().split(",") if settings.webhook_key else [None]
    for key in keys:
        found += configuration.secret("WEBHOOK_KEY", key and key.strip(), needed=production)
    found += configuration.origins(settings.allowed_origins, production=production)
    return found


def _settlement_key() -> list[Diagnosis]:
    """Whether the worker would take the key that it is given, if any; the key is read and not shown."""
    try:
        signer = load_signer(load(WorkerSettings))
    except OperatorError as error:
        sentence = str(error)
        # What else a worker lacks, the others lack as well.
        return [from_sentence("secrets", "SETTLEMENT_KEYPAIR", sentence)] if "SETTLEMENT" in sentence else []
    return [good("secrets", "SETTLEMENT_KEYPAIR", f"signs as {signer.address}")] if signer else []


async def _database(*, at_rest: bool) -> list[Diagnosis]:
    try:
        settings = load(DatabaseSettings)
        async with database_address(settings) as dsn:
            return await database.examine(
                dsn, production=settings.is_production, at_rest=at_rest, webhook_seal=_webhook_seal()
            )
    except OperatorError as error:
        return [from_sentence("database", "connection", str(error))]


def _webhook_seal() -> WebhookSeal | None:
    """What WEBHOOK_KEY says; `None` where it is said among the settings that it is not usable."""
    try:
        return load(WebhookSettings).webhook_seal
    except OperatorError:
        return None


async def _redis() -> list[Diagnosis]:
    try:
        settings = load(CacheSettings)
        async with redis_address(settings) as url:
            return await cache.examine(url, production=settings.is_production)
    except OperatorError as error:
        return [from_sentence("redis", "ping", str(error))]


async def _nodes() -> list[Diagnosis]:
    try:
        settings = load(SolanaSettings)
        rpc_urls, ws_urls = solana_endpoints(settings)
    except OperatorError as error:
        return [from_sentence("nodes", "addresses", str(error))]
    found = await nodes.examine(rpc_urls, ws_urls, settings.solana_network)
    with suppress(OperatorError):  # what the API lacks is said among the settings
        found += await fee_payers.examine(load(ApiSettings), rpc_urls)
    for url in settings.rpc_urls:
        encrypted = url.startswith("https")
        found += configuration.encryption("SOLANA_RPC_URL", url, encrypted=encrypted, production=settings.is_production)
    return found
