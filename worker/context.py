"""What the worker's passes and commands work with: database, nodes, and the settlement wallet's key, if any.

A pass is a function of this; the schedule, the commands and the tests call the same ones.
"""

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
from prometheus_client import CollectorRegistry

from chain.lifetimes import Tip, finalized_tip_of
from chain.node import Node
from chain.rpc import RpcLimits, RpcPool
from migrations.status import check_current
from runtime.cluster import check_cluster, expected_genesis
from runtime.database import open_pool
from runtime.metrics import new_registry
from runtime.webhook_seal import WebhookSeal
from worker.agreement import Agreement
from worker.metrics import WorkerMetrics
from worker.settings import WorkerSettings
from worker.signer import Signer, load_signer


@dataclass(slots=True)
class ExportsSeen:
    """Behind which export of a paid payout the next pass goes on, by when it ended and its id; `None` for the first."""

    place: tuple[dt.datetime, UUID] | None = None


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What is open while the worker runs. Without a `signer` payouts wait for an operator's signature."""

    settings: WorkerSettings
    database: asyncpg.Pool
    node: Node
    signer: Signer | None
    webhook_seal: WebhookSeal
    registry: CollectorRegistry
    metrics: WorkerMetrics
    agreement: Agreement
    exports_seen: ExportsSeen = field(default_factory=ExportsSeen)


@asynccontextmanager
async def open_worker_context(
    settings: WorkerSettings, dsn: str, rpc_urls: Sequence[str]
) -> AsyncIterator[WorkerContext]:
    """Open what the passes need, and close it at the end.

    Raises:
        OperatorError: The database, its schema or the settlement key is not usable, or a node is of another cluster.
    """
    signer = load_signer(settings)
    await check_current(dsn)
    registry = new_registry()
    metrics = WorkerMetrics(registry)
    # A pass that comes again in seconds need not insist.
    limits = RpcLimits(
        answer_seconds=10.0, attempts=4, call_seconds=20.0, requests_per_second=settings.rpc_requests_per_second
    )
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_pool(dsn, application="worker"))
        await check_cluster(database, rpc_urls, settings.solana_network)
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
        yield WorkerContext(
            settings, database, Node(rpc), signer, settings.webhook_seal, registry, metrics, Agreement(metrics)
        )


async def deciding_tip(context: WorkerContext) -> Tip | None:
    """The finalized tip by which it is decided what can land no more; `None`, said once, where too few nodes answer.

    Raises:
        RpcError: No node answers.
    """
    pool, agreement = context.node.pool, context.agreement
    seen = await finalized_tip_of(pool)
    agreement.note_enough(endpoints=len(pool.endpoints), witnesses=pool.witnesses, is_enough=seen.tip is not None)
    agreement.note_alone("how far the chain is", seen.far_ahead)
    agreement.note_agreed("how far the chain is", seen.near)
    return seen.tip
