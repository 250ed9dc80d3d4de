"""Metrics over HTTP, asked by an ordinary client."""

import aiohttp
import pytest
from prometheus_client import Counter, Gauge
from prometheus_client.parser import text_string_to_metric_families

from runtime.errors import OperatorError
from runtime.metrics import new_registry, serve_metrics


async def get(port, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, answer.headers["Content-Type"], await answer.text()


def samples(text):
    return {one.name: one.value for family in text_string_to_metric_families(text) for one in family.samples}


async def test_metrics_are_served_and_gauges_are_brought_up_to_date_before():
    registry = new_registry()
    Counter("pay402_test", "A count", registry=registry).inc(3)
    queue = Gauge("pay402_test_queue", "A length", registry=registry)
    async with serve_metrics(registry, 0, before_scrape=lambda: queue.set(7)) as port:
        status, kind, text = await get(port, "/metrics")
    assert (status, kind.partition(";")[0]) == (200, "text/plain")
    found = samples(text)
    assert found["pay402_test_total"] == 3
    assert found["pay402_test_queue"] == 7
    assert found["process_open_fds"] > 0


async def test_health_says_what_is_wrong():
    ailments = [[], ["no slot for 20 s"]]
    async with serve_metrics(new_registry(), 0, checks=[lambda: ailments.pop(0), list]) as port:
        assert await get(port, "/health") == (200, "application/json; charset=utf-8", '{"status": "ok"}')
        status, _, body = await get(port, "/health")
    assert (status, body) == (503, '{"status": "unwell", "reasons": ["no slot for 20 s"]}')


async def test_registries_do_not_share_anything():
    Counter("pay402_test", "A count", registry=new_registry())
    assert new_registry().get_sample_value("pay402_test_total") is None


async def test_a_port_that_is_taken_is_a_sentence():
    async with serve_metrics(new_registry(), 0) as port:
        with pytest.raises(
            OperatorError, match=rf"^Metrics cannot be served on 127\.0\.0\.1:{port} \(.*; set METRICS_PORT to"
        ):
            async with serve_metrics(new_registry(), port):
                pass
    # And free again once it is left.
    async with serve_metrics(new_registry(), port) as again:
        assert again == port
