"""`pay402 doctor`: everything a deployment stands on, and what to do about what is wrong."""

import asyncio
import sys
from typing import Annotated, Final

import msgspec
import typer
from pydantic import Field, SecretStr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.settings import ApiSettings
from cli.diagnosis import cache, configuration, database, nodes
from cli.diagnosis.findings import Finding, bounded, from_sentence, good
from cli.system.localnet_address import solana_endpoints
from runtime.embedded import servers as embedded
from runtime.errors import OperatorError
from runtime.logging import configure_logging, scrub
from runtime.settings import CacheSettings, DatabaseSettings, IndexerSettings, Settings, SolanaSettings, load
from worker.settings import WorkerSettings
from worker.signer import load_signer

_PART_SECONDS: Final = 60.0
_WIDTH_IN_FILES: Final = 160
_COLOURS: Final = {"ok": "green", "warning": "yellow", "failure": "bold red"}


class _WebSettings(Settings):
    jwt_secret: SecretStr | None = Field(None, validation_alias="JWT_SECRET")
    bootstrap_token: SecretStr | None = Field(None, validation_alias="BOOTSTRAP_TOKEN")
    allowed_origins: str | None = Field(None, validation_alias="ALLOWED_ORIGINS")


def command(
    at_rest: Annotated[
        bool, typer.Option("--at-rest", help="Before the first start, or after a restore: no indexer runs yet")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts")] = False,
) -> None:
    """Examine settings, secrets, database, indexes, Redis, every Solana node, clocks and the ledger's own proof.

    Each failure says what to do next. The exit code is 1 when there is one; warnings leave it 0.

    Example: pay402 doctor --json | jq '.findings[] | select(.verdict != "ok")'
    """
    configure_logging(load(Settings).model_copy(update={"log_level": "error"}))
    findings = asyncio.run(_examine(at_rest=at_rest))
    failures = sum(finding.verdict == "failure" for finding in findings)
    if as_json:
        told = {"ok": not failures, "findings": findings}
        typer.echo(scrub(msgspec.json.encode(told).decode()))
    else:
        _print(findings)
    if failures:
        raise typer.Exit(1)


async def _examine(*, at_rest: bool) -> list[Finding]:
    """Every part by itself: what is wrong with one does not hide another."""
    parts = await asyncio.gather(
        bounded("settings", "reading", _PART_SECONDS, _settings()),
        bounded("database", "answers", _PART_SECONDS, _database(at_rest=at_rest)),
        bounded("redis", "answers", _PART_SECONDS, _redis()),
        bounded("nodes", "answers", _PART_SECONDS, _nodes()),
    )
    return [finding for part in parts for finding in part]


async def _settings() -> list[Finding]:
    found = []
    for kind in (ApiSettings, IndexerSettings):
        try:
            load(kind)
        except OperatorError as error:
            found.append(from_sentence("settings", "complete", str(error)))
    settings = load(_WebSettings)
    found += _settlement_key()
    if not any(finding.part == "settings" for finding in found):
        found.append(good("settings", "complete", f"for {settings.app_env}"))
    production = settings.is_production
    token = settings.bootstrap_token.get_secret_value() if settings.bootstrap_token else None
    jwt = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
    found += configuration.secret("JWT_SECRET", jwt, needed=production)
    found += configuration.secret("BOOTSTRAP_TOKEN", token, needed=False)
    found += configuration.origins(settings.allowed_origins, production=production)
    return found


def _settlement_key() -> list[Finding]:
    """Whether the worker would take the key that it is given, if any; the key is read and not told."""
    try:
        signer = load_signer(load(WorkerSettings))
    except OperatorError as error:
        told = str(error)
        # What else a worker lacks, the others lack as well.
        return [from_sentence("secrets", "SETTLEMENT_KEYPAIR", told)] if "SETTLEMENT" in told else []
    return [good("secrets", "SETTLEMENT_KEYPAIR", f"signs as {signer.address}")] if signer else []


async def _database(*, at_rest: bool) -> list[Finding]:
    try:
        settings = load(DatabaseSettings)
        async with embedded.database(settings) as dsn:
            return await database.examine(dsn, production=settings.is_production, at_rest=at_rest)
    except OperatorError as error:
        return [from_sentence("database", "connection", str(error))]


async def _redis() -> list[Finding]:
    try:
        settings = load(CacheSettings)
        async with embedded.cache(settings) as url:
            return await cache.examine(url, production=settings.is_production)
    except OperatorError as error:
        return [from_sentence("redis", "ping", str(error))]


async def _nodes() -> list[Finding]:
    try:
        settings = load(SolanaSettings)
        rpc_urls, ws_urls = solana_endpoints(settings)
    except OperatorError as error:
        return [from_sentence("nodes", "addresses", str(error))]
    found = await nodes.examine(rpc_urls, ws_urls, settings.solana_network)
    for url in settings.rpc_urls:
        encrypted = url.startswith("https")
        found += configuration.encryption("SOLANA_RPC_URL", url, encrypted=encrypted, production=settings.is_production)
    return found


def _print(findings: list[Finding]) -> None:
    table = Table("part", "check", "", "found", "what to do")
    for finding in findings:
        verdict = Text(finding.verdict, style=_COLOURS[finding.verdict])
        # What servers said is text, whatever brackets are in it.
        words = [Text(scrub(word)) for word in (finding.part, finding.check, finding.detail, finding.remedy)]
        table.add_row(words[0], words[1], verdict, words[2], words[3])
    Console(width=None if sys.stdout.isatty() else _WIDTH_IN_FILES).print(table)
