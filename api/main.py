"""The API process: opens what it needs, serves until asked to stop, answers what is under way, closes in reverse."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import structlog
import uvicorn
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis

from api.access.access_tokens import AccessTokens
from api.access.context import AccessContext
from api.access.key_ring import KeyRing
from api.access.rate_limits import RateLimits
from api.access.sessions import Sessions
from api.analytics.context import AnalyticsContext
from api.app import Rooms, create_app
from api.console.context import ConsoleContext
from api.console.pages import Pages
from api.events.context import EventsContext
from api.events.streams import FeedStreams
from api.http.connection import Patience, bounded
from api.keys.context import KeysContext
from api.marketplace.context import MarketplaceContext
from api.metrics import ApiMetrics
from api.notifications import TransferNotifications
from api.operations.context import OperationsContext
from api.operations.probes import Probes
from api.payments.context import PaymentsContext
from api.routing.context import RoutingContext
from api.settings import ApiSettings, split
from api.tokens import TokenBook
from api.verify.batches import VerificationBatches
from api.verify.context import VerifyContext
from api.verify.verifier import Verifier, VerifyBounds
from api.webhooks.context import WebhooksContext
from api.x402.batched_statements import BatchedStatement
from api.x402.check import ExactLimits
from api.x402.context import X402Context
from api.x402.fee_payer_balances import FeePayerBalances
from api.x402.fee_payers import load_fee_payers
from api.x402.networks import network_of
from api.x402.settlement import PaymentSettler, SettleBounds
from api.x402.settlement_batches import SettlementBatches
from api.x402.verification import PaymentVerifier
from chain.node import Node
from chain.rpc import RpcLimits, RpcPool
from ledger.amounts import parse_thresholds
from ledger.api_keys import KEYS_CHANNEL
from ledger.feed import FEED_CHANNEL
from ledger.payment_standings import payment_standings
from ledger.settlements import FeeBudgets
from ledger.transfers import TRANSFERS_CHANNEL
from migrations.status import check_current
from runtime.cluster import check_cluster, expected_genesis, watch_cluster
from runtime.database import open_pool
from runtime.errors import OperatorError
from runtime.listener import Listener
from runtime.metrics import new_registry
from runtime.process import working

_log = structlog.get_logger(__name__)

_STATEMENT_SECONDS = 10.0
# One batch of verifications reads while another becomes durable.
_BATCHES_MAX = 2
# Payments that are reserved at once wait for each other's budgets; those that wait for the chain share statements.
_SETTLING_MAX = 4
# A request is sent away, to come again, rather than made to wait for longer.
_CONNECT_SECONDS = 2.0
# Asking a node is a courtesy to whoever waits; it must not take longer than they do.
_RPC_LIMITS = RpcLimits(answer_seconds=1.5, attempts=2, call_seconds=2.0)


@asynccontextmanager
async def open_rooms(
    settings: ApiSettings, metrics: ApiMetrics, dsn: str, redis_url: str, rpc_urls: Sequence[str]
) -> AsyncIterator[Rooms]:
    """What each room works with, with the background work that keeps it fresh.

    Raises:
        OperatorError: The database or its schema is not usable.
    """
    await check_current(dsn)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_pool(
                dsn,
                application="api",
                min_size=2,
                max_size=settings.pool_size,
                statement_timeout_seconds=_STATEMENT_SECONDS,
            )
        )
        hot = await stack.enter_async_context(
            open_pool(
                dsn,
                application="api-verify",
                min_size=_BATCHES_MAX + 1,
                max_size=_BATCHES_MAX + 1,
                statement_timeout_seconds=_STATEMENT_SECONDS,
                by_keys_alone=True,
            )
        )
        settling = await stack.enter_async_context(
            open_pool(
                dsn,
                application="api-settle",
                min_size=1,
                max_size=_SETTLING_MAX,
                statement_timeout_seconds=_STATEMENT_SECONDS,
                by_keys_alone=True,
            )
        )
        redis = await stack.enter_async_context(_redis(redis_url))
        await check_cluster(database, rpc_urls, settings.solana_network)
        limits = replace(_RPC_LIMITS, requests_per_second=settings.rpc_requests_per_second)
        genesis = await expected_genesis(database, settings.solana_network)
        rpc = await stack.enter_async_context(
            RpcPool(
                rpc_urls,
                limits,
                on_call=metrics.rpc,
                genesis_hash=genesis,
                witnesses=settings.rpc_witnesses,
            )
        )
        key_ring = KeyRing(database, metrics)
        rates = RateLimits(redis_url, metrics)
        tokens = TokenBook(database, settings.solana_network)
        await tokens.load()
        notifications = TransferNotifications()
        streams = FeedStreams(
            database,
            metrics,
            streams_max=settings.streams_max,
            streams_per_user_max=settings.streams_per_user_max,
        )

        def look_again() -> None:
            key_ring.forget()
            notifications.wake_all()
            streams.wake()

        listener = Listener(
            dsn,
            {
                TRANSFERS_CHANNEL: notifications.wake,
                KEYS_CHANNEL: lambda _: key_ring.forget(),
                FEED_CHANNEL: streams.wake,
            },
            after_gap=look_again,
            application="api",
            troubles=metrics.troubles,
        )
        node = Node(rpc)
        batches = VerificationBatches(hot, batches_max=_BATCHES_MAX, waiting_max=settings.undecided_max)
        standings = BatchedStatement(
            hot, payment_standings, waiting_max=settings.undecided_max, named="payments to verify"
        )
        # No more can wait than there are requests, for what is stored must not be answered with an error.
        settlements = SettlementBatches(settling, waiting_max=settings.requests_max)
        bounds = VerifyBounds(
            wait_seconds=settings.verify_wait_ms / 1000,
            waiting_max=settings.waiting_requests_max,
            pending_claims_max=settings.pending_claims_max,
        )
        final_from = parse_thresholds(settings.finalized_above)
        verifier = Verifier(database, batches, notifications, node, metrics, bounds)
        for variable in settings.short_secrets:
            _log.warning(
                "short_secret", variable=variable, hint="production refuses it; `openssl rand -hex 32` makes one"
            )
        access = AccessContext(
            keys=key_ring,
            tokens=AccessTokens(_secret(settings.jwt_secret)),
            sessions=Sessions(database),
            rates=rates,
            environment=settings.app_env,
            public_limit=settings.public_rate_limit,
            key_limit=settings.auth_rate_limit,
            verify_limit=settings.verify_rate_limit,
        )
        verifier_x402 = PaymentVerifier(
            standings=standings,
            node=node,
            tokens=tokens,
            network=network_of(settings.solana_network),
            fee_payers=load_fee_payers(settings),
            limits=ExactLimits(settings.x402_compute_units_max, settings.x402_unit_price_max),
        )
        settler = PaymentSettler(
            settling, settlements, verifier_x402, notifications, final_from, _settle_bounds(settings), metrics
        )
        # Those that are no longer advertised too: sellers remember them, and without SOL they settle nothing.
        fee_payers = verifier_x402.fee_payers.addresses
        balances = FeePayerBalances(node, fee_payers, settings.x402_low_lamports, metrics)
        budgets = _settle_bounds(settings).budgets
        facilitator = X402Context(verifier_x402, settler, database, tokens, budgets, balances)
        payments = PaymentsContext(database, tokens, node, final_from)
        analytics = AnalyticsContext(database, tokens)
        operations = OperationsContext(
            database=database,
            probes=Probes(database, redis, metrics, lambda: balances.status),
            metrics=metrics if settings.enable_metrics else None,
            environment=settings.app_env,
        )
        webhooks = WebhooksContext(database, settings.receiver_policy, settings.webhook_seal)
        keys = KeysContext(
            database=database,
            key_ring=key_ring,
            tokens=access.tokens,
            bootstrap_token=_secret(settings.bootstrap_token),
            needs_no_first_key=settings.app_env == "development",
        )
        marketplace = MarketplaceContext(
            database=database,
            tokens=tokens,
            node=node,
            settlement_wallet=settings.settlement_wallet,
            funding_seconds=settings.funding_seconds,
            job_seconds=settings.job_seconds,
            currencies=settings.currencies,
            is_production=settings.is_production,
        )
        rooms = Rooms(
            access=access,
            routing=RoutingContext(database),
            keys=keys,
            verify=VerifyContext(verifier, tokens, final_from),
            payments=payments,
            x402=facilitator,
            marketplace=marketplace,
            analytics=analytics,
            events=EventsContext(database, streams, metrics),
            webhooks=webhooks,
            operations=operations,
            console=ConsoleContext(
                pages=Pages(),
                payments=payments,
                analytics=analytics,
                marketplace=marketplace,
                operations=operations,
                webhooks=webhooks,
                x402=facilitator,
                keys=keys,
                network=settings.solana_network,
            ),
        )
        await stack.enter_async_context(
            working(
                listener.run(),
                key_ring.run(),
                balances.run(),
                rates.run(),
                batches.run(),
                standings.run(),
                settlements.run(),
                streams.run(),
                watch_cluster(database, rpc_urls, settings.solana_network, metrics.troubles),
            )
        )
        yield rooms


def _settle_bounds(settings: ApiSettings) -> SettleBounds:
    return SettleBounds(
        wait_seconds=settings.x402_wait_seconds,
        waiting_max=settings.waiting_requests_max,
        budgets=FeeBudgets(
            settings.x402_lamports_of_day_max,
            settings.x402_lamports_of_merchant_max,
            settings.x402_lamports_of_payer_max,
            settings.x402_keyless_percent,
        ),
    )


def _secret(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


@asynccontextmanager
async def _redis(url: str) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
    try:
        yield client
    finally:
        await client.aclose()


async def serve_until(
    stop: asyncio.Event,
    settings: ApiSettings,
    dsn: str,
    redis_url: str,
    rpc_urls: Sequence[str],
    *,
    reuse_port: bool = False,
    any_if_taken: bool = False,
    ready: Callable[[str], None] = lambda _: None,
    more: Sequence[APIRouter] = (),
) -> None:
    """Serve until `stop` is set, then answer what is under way. `ready` is called with the address.

    Raises:
        OperatorError: The port is taken, or the database is not usable.
    """
    metrics = ApiMetrics(new_registry())
    async with open_rooms(settings, metrics, dsn, redis_url, rpc_urls) as rooms:
        listener = _listen(settings, reuse_port=reuse_port, any_if_taken=any_if_taken)
        with contextlib.closing(listener):
            server = _Server(_config(create_app(rooms, settings, metrics, more=more), settings))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            stopping = asyncio.create_task(stop.wait())
            while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            host, port = listener.getsockname()[:2]
            ready(f"http://{host}:{port}")
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            rooms.events.streams.end_all()
            server.should_exit = True
            await serving


def _listen(settings: ApiSettings, *, reuse_port: bool, any_if_taken: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Named so that asyncio knows it for TCP and sends every answer at once, instead of waiting for others to join it.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _bind(listener, settings, any_if_taken=any_if_taken)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OperatorError(
            f"The API cannot listen on {settings.host}:{settings.port} ({error.strerror}); "
            "set PORT to a free port, or HOST to an address of this machine."
        ) from error
    listener.setblocking(False)
    return listener


def _bind(listener: socket.socket, settings: ApiSettings, *, any_if_taken: bool) -> None:
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not any_if_taken:
            raise
        listener.bind((settings.host, 0))


def _config(app: FastAPI, settings: ApiSettings) -> uvicorn.Config:
    proxies = split(settings.trusted_proxies)
    patience = Patience(settings.head_seconds, settings.body_seconds, settings.unread_seconds)
    return uvicorn.Config(
        app,
        http=bounded(patience),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        timeout_keep_alive=75,  # longer than a load balancer keeps its connections
        timeout_graceful_shutdown=int(settings.drain_seconds),
    )


class _Server(uvicorn.Server):
    """A server that leaves signals to the process it is part of."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is under way."""
        _log.info("draining")
        await super().shutdown(sockets)
