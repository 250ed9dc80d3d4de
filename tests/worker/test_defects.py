"""A defect in any loop of the worker is counted, and not tried again for a minute, whatever happens meanwhile.

The defects are put in place of functions of ours: no state of the database or the chain brings one about.
"""

import asyncio

import pytest

from ledger.reports import reconciliation_state, request_reconciliation
from ledger.webhooks import deliveries_page, find_webhook
from runtime.database_errors import DatabaseAwayError
from runtime.process import working
from tests.support.feed_publishing import log_event
from tests.support.ledger_checks import eventually
from tests.support.webhook_receivers import Receiver, subscribe, well
from worker.feed import publish
from worker.feed.publish import FeedPublisher
from worker.reports import run as report
from worker.schedule import Pass, run_pass
from worker.webhooks import delivery
from worker.webhooks.delivery import WebhookSender


def defects(context):
    return context.registry.get_sample_value("pay402_database_errors_total", {"kind": "defect"})


async def fail(*_, **__):
    raise KeyError("none")


@pytest.mark.parametrize(
    ("module", "function", "loop"),
    [(publish, "anything_to_publish", FeedPublisher), (delivery, "take_deliveries", WebhookSender)],
    ids=["feed", "webhooks"],
)
async def test_a_defect_of_a_loop_is_counted_once_a_minute(context, monkeypatch, module, function, loop):
    monkeypatch.setattr(module, function, fail)
    one = loop(context)
    async with working(one.run()):
        await eventually(lambda: defects(context))
        for _ in range(5):
            one.wake()
            await asyncio.sleep(0.05)
    assert defects(context) == 1


@pytest.mark.parametrize(
    "error", [KeyError("none"), FileNotFoundError("none"), TimeoutError("another service")], ids=repr
)
async def test_a_defect_of_a_pass_is_counted_and_no_outage(context, error):
    async def broken(_):
        raise error

    assert await run_pass(context, Pass("broken", 1.0, broken)) == 60
    assert context.metrics.runs.labels("broken", "defect")._value.get() == 1
    assert defects(context) == 1


async def test_a_report_that_meets_a_defect_has_failed_and_is_not_taken_up_again(context, pool, monkeypatch):
    monkeypatch.setattr(report, "make_report", fail)
    monkeypatch.setattr(report, "_DEAD_SECONDS", 0.0)
    run = await request_reconciliation(pool, requested_by="test")
    with pytest.raises(KeyError):
        await report.run_report(context)
    state = await reconciliation_state(pool, run)
    assert (state.status, state.error) == ("failed", "a defect of pay402 (KeyError)")
    assert await report.run_report(context) is None


async def test_a_report_that_an_absent_database_ends_is_taken_up_again(context, pool, monkeypatch):
    async def away(_):
        raise DatabaseAwayError("the server closed the connection")

    run = await request_reconciliation(pool, requested_by="test")
    with monkeypatch.context() as outage:
        outage.setattr(report, "make_report", away)
        with pytest.raises(DatabaseAwayError):
            await report.run_report(context)
    monkeypatch.setattr(report, "_DEAD_SECONDS", 0.0)
    assert await report.run_report(context) == run
    assert (await reconciliation_state(pool, run)).status == "done"


async def test_a_delivery_that_meets_a_defect_is_tried_later_each_time_and_blames_nobody(context, pool, monkeypatch):
    receiver = Receiver(well, url="http://127.0.0.1:9/")
    webhook = await subscribe(pool, receiver)
    await log_event(pool, "key.revoked")
    await publish.publish(context)
    monkeypatch.setattr(delivery, "send", fail)
    async with working(WebhookSender(context).run()):
        await eventually(lambda: defects(context))

        async def tried():
            page = await deliveries_page(pool, webhook.id, status=None, before=None, limit=10)
            return [one for one in page if one.error]

        (ended,) = await eventually(tried)
    assert (ended.status, ended.tries, ended.error) == ("pending", 1, "It could not be sent, by a defect of pay402.")
    assert ended.next_try_at > ended.answered_at
    assert (await find_webhook(pool, webhook.id)).failing_since is None
