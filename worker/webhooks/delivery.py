"""Sends due deliveries to many addresses at once, so that a slow or failing address delays no other."""

import asyncio
import contextlib
import time
from collections import Counter, deque
from functools import partial
from typing import Final
from uuid import UUID

import aiohttp

from ledger.webhooks import DueDelivery, EndedTry, disable_webhooks, end_tries, take_deliveries
from runtime.database_errors import DATABASE_ERRORS
from runtime.passes import note_failure, repeat
from worker.context import WorkerContext
from worker.webhooks.sending import Patience, not_sent, open_session, send

_LOOP: Final = "send_webhooks"
_LEASE_GRACE_SECONDS: Final = 15.0
_DISABLE_SECONDS: Final = 60.0
# So many deliveries are leased ahead for a receiver that answers at once, as multiples of those under way to it.
_AHEAD: Final = 8
_QUICK_MAX: Final = 1_000
# Tries that end within this time are written down by one statement, and what follows them is leased by one.
_GATHER_SECONDS: Final = 0.02
# A try that has gone on for so long makes room for another: it waits for its receiver, and costs a connection.
_SLOW_SECONDS: Final = 1.0


class WebhookSender:
    """Takes deliveries that are due, sends them, and writes down what came of it, until it is cancelled.

    What is under way when it is cancelled is due again when its lease is over: it arrives once more, under the same id.
    """

    def __init__(self, context: WorkerContext) -> None:
        settings = context.settings
        self._context = context
        self._policy = settings.receiver_policy
        self._patience = Patience(settings.webhook_answer_seconds, settings.webhook_retry_days * 86_400.0)
        self._woken = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._under_way: Counter[UUID] = Counter()
        # Leased and not begun yet, for receivers that answer at once, with when they were leased.
        self._ahead: dict[UUID, deque[tuple[float, DueDelivery]]] = {}
        self._quick: dict[UUID, None] = {}
        self._slow: set[tuple[UUID, int]] = set()
        self._tries: set[asyncio.Task[None]] = set()
        self._ended: list[EndedTry] = []
        self._has_ended = asyncio.Event()
        # The last writing failed: nothing more is sent before it is made up for, or `_ended` would grow without end.
        self._owes_writing = False
        self._gone: set[tuple[UUID, str]] = set()
        self._disabled_at = time.monotonic()
        grace_seconds = settings.pass_grace_seconds + settings.webhook_poll_seconds
        context.metrics.liveness.expect(_LOOP, within_seconds=grace_seconds)

    def wake(self, _: str = "") -> None:
        """Look now: something is to be sent."""
        self._woken.set()

    def _wake_soon(self) -> None:
        if self._gathering is None:
            self._gathering = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._woken.set)

    async def run(self) -> None:
        """Send until cancelled."""
        settings = self._context.settings
        connections_max = settings.webhooks_under_way_max + settings.webhooks_slow_max
        async with open_session(self._policy, connections_max=connections_max) as session:
            try:
                async with asyncio.TaskGroup() as group:
                    taking = repeat(
                        partial(self._take_and_begin, session),
                        "sending webhooks",
                        every_seconds=settings.webhook_poll_seconds,
                        troubles=self._context.metrics.troubles,
                        succeeded=self._succeeded,
                        woken=self._woken,
                    )
                    group.create_task(taking)
                    group.create_task(self._keep_writing())
            finally:
                # A try that ends would begin what is leased ahead.
                self._ahead.clear()
                for task in self._tries:
                    task.cancel()
                await asyncio.gather(*self._tries, return_exceptions=True)
                # What was answered by now need not be sent again.
                with contextlib.suppress(*DATABASE_ERRORS, TimeoutError):
                    async with asyncio.timeout(2):
                        await self._write_down()

    async def _take_and_begin(self, session: aiohttp.ClientSession) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        await self._disable()
        if not self._owes_writing:
            await self._begin_due(session)

    def _succeeded(self) -> None:
        if not self._owes_writing:
            self._context.metrics.liveness.succeeded(_LOOP)

    async def _keep_writing(self) -> None:
        """Write down what has ended, besides: what is due does not wait for the commits of what has ended."""
        troubles = self._context.metrics.troubles
        while True:
            await self._has_ended.wait()
            await asyncio.sleep(_GATHER_SECONDS)
            self._has_ended.clear()
            try:
                await self._write_down()
            except Exception as error:  # noqa: BLE001 - a defect here must not end the passes that settle money
                await asyncio.sleep(note_failure(troubles, "writing down webhooks", error).pause_seconds)
            if self._ended:
                self._has_ended.set()

    async def _begin_due(self, session: aiohttp.ClientSession) -> None:
        now = time.monotonic()
        for delivery in await self._take():
            self._ahead.setdefault(delivery.webhook_id, deque()).append((now, delivery))
        # Whoever answers at once goes first, and does not wait until tries to all the others have been signed.
        for webhook_id in sorted(self._ahead, key=lambda one: one not in self._quick):
            self._begin(session, webhook_id)

    async def _take(self) -> list[DueDelivery]:
        settings = self._context.settings
        # Receivers that let every try hang must leave room for those that answer.
        busy = self._under_way + Counter({webhook_id: len(waiting) for webhook_id, waiting in self._ahead.items()})
        slow = min(len(self._slow), settings.webhooks_slow_max)
        free = settings.webhooks_under_way_max - busy.total() + slow
        if free <= 0:
            return []
        return await take_deliveries(
            self._context.database,
            busy=busy,
            quick=self._quick,
            per_webhook_max=settings.webhooks_under_way_each_max,
            per_quick_max=settings.webhooks_under_way_each_max * _AHEAD,
            limit=free,
            lease_seconds=self._patience.answer_seconds + _LEASE_GRACE_SECONDS,
            seals_known=self._context.webhook_seal.names,
        )

    def _begin(self, session: aiohttp.ClientSession, webhook_id: UUID) -> None:
        """Begin what is leased for an address, as much as may be under way to it."""
        waiting = self._ahead.get(webhook_id, deque())
        while waiting and self._under_way[webhook_id] < self._context.settings.webhooks_under_way_each_max:
            leased_at, delivery = waiting.popleft()
            # What has waited for so long might still be under way when its lease is over: it is due again then.
            if time.monotonic() - leased_at < _LEASE_GRACE_SECONDS / 2:
                self._under_way[webhook_id] += 1
                task = asyncio.create_task(self._try(session, delivery))
                self._tries.add(task)
                task.add_done_callback(self._tries.discard)
        if not waiting:
            self._ahead.pop(webhook_id, None)

    def _note_slow(self, delivery: DueDelivery) -> None:
        self._slow.add((delivery.webhook_id, delivery.feed_id))
        self._note_pace(delivery.webhook_id, is_quick=False)
        self._woken.set()

    def _note_pace(self, webhook_id: UUID, *, is_quick: bool) -> None:
        """Lease ahead for whoever answers at once; let go of what was leased for whoever does so no more."""
        if is_quick:
            self._quick.pop(webhook_id, None)
            self._quick[webhook_id] = None
            if len(self._quick) > _QUICK_MAX:
                del self._quick[next(iter(self._quick))]
        else:
            self._quick.pop(webhook_id, None)
            self._ahead.pop(webhook_id, None)

    async def _try(self, session: aiohttp.ClientSession, delivery: DueDelivery) -> None:
        becomes_slow = asyncio.get_running_loop().call_later(_SLOW_SECONDS, self._note_slow, delivery)
        try:
            keys = [self._context.webhook_seal.open(delivery.webhook_id, one) for one in delivery.keys]
            ended, is_gone = await send(session, delivery, keys, self._policy, self._patience)
            self._ended.append(ended)
            is_quick = ended.status == "delivered" and ended.answer_ms < _SLOW_SECONDS * 1000
            self._note_pace(delivery.webhook_id, is_quick=is_quick)
            if is_gone:
                self._gone.add((delivery.webhook_id, delivery.url))
            outcome = "retried" if ended.status == "pending" else ended.status
            self._context.metrics.webhook_tries.labels(outcome).inc()
            self._context.metrics.webhook_seconds.observe(ended.answer_ms / 1000)
        except Exception as error:  # noqa: BLE001 - a task of its own, which nobody awaits
            # A try like any other, so that it is made again later each time, and not for ever.
            self._ended.append(not_sent(delivery, self._patience))
            self._context.metrics.troubles.note_defect("sending a webhook", error, webhook=str(delivery.webhook_id))
        finally:
            becomes_slow.cancel()
            self._slow.discard((delivery.webhook_id, delivery.feed_id))
            self._under_way[delivery.webhook_id] -= 1
            self._begin(session, delivery.webhook_id)
            if not self._under_way[delivery.webhook_id]:
                del self._under_way[delivery.webhook_id]
            self._has_ended.set()
            self._wake_soon()

    async def _write_down(self) -> None:
        """Write down every try that has ended, at once; what fails to be written is kept."""
        ended, self._ended = self._ended, []
        if not ended:
            return
        try:
            async with self._context.database.acquire() as connection, connection.transaction():
                await end_tries(connection, ended)
        except BaseException:
            self._ended = [*ended, *self._ended]
            self._owes_writing = True
            raise
        self._owes_writing = False

    async def _disable(self) -> None:
        now = time.monotonic()
        if not self._gone and now - self._disabled_at < _DISABLE_SECONDS:
            return
        self._disabled_at = now
        seconds = self._context.settings.webhook_failing_days * 86_400.0
        gone, self._gone = self._gone, set()
        try:
            await disable_webhooks(self._context.database, gone=list(gone), failing_seconds_max=seconds)
        except BaseException:
            self._gone |= gone
            raise
