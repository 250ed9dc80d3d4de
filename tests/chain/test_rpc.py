"""RpcPool against nodes and proxies that misbehave: what it asks, whom, how often. See also `test_rpc_answers.py`."""

import asyncio
import email.utils
import re
import time
import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chain.rpc import Endpoint, RpcError, RpcLimits, RpcPool
from tests.support.scripted_nodes import QUICK, Reply, ask, failure, pooled, refusal, scripted, until

DOWN = Reply(status=503, body="upstream is gone", content_type="text/plain")


@pytest.fixture
def rests(monkeypatch):
    """For how many seconds each endpoint rests, in the order in which they begin to."""
    rests_seconds, rest = [], Endpoint.rest
    monkeypatch.setattr(Endpoint, "rest", lambda self, seconds: (rests_seconds.append(seconds), rest(self, seconds)))
    return rests_seconds


# --- whom it asks


async def test_the_first_endpoint_is_asked_as_long_as_it_answers():
    async with pooled([Reply()], [Reply()]) as (nodes, pool):
        assert [await ask(pool) for _ in range(5)] == ["fine"] * 5
    assert [len(node.asked) for node in nodes] == [5, 0]


async def test_a_failing_endpoint_is_left_for_the_next_and_asked_again_when_it_has_rested():
    async with pooled([DOWN, Reply("first")], [Reply("second")]) as (nodes, pool):
        assert await ask(pool) == "second"
        first = pool.endpoints[0]
        assert first.failures == 1
        await until(lambda: first.resting_until < time.monotonic())
        assert await ask(pool) == "first"
        assert first.failures == 0
    assert [len(node.asked) for node in nodes] == [2, 1]


async def test_one_call_goes_round_all_endpoints_before_it_asks_one_twice():
    not_yet = refusal(-32004)
    async with pooled([not_yet], [not_yet]) as (nodes, pool):
        await failure(pool, attempts=4)
        assert all(endpoint.resting_until == 0 for endpoint in pool.endpoints), "the nodes are well"
    assert [len(node.asked) for node in nodes] == [2, 2]


async def test_an_endpoint_that_keeps_failing_rests_ever_longer_within_bounds(rests):
    async with pooled([DOWN], limits=RpcLimits(attempts=1)) as (_, pool):
        for _ in range(10):
            pool.endpoints[0].resting_until = 0.0
            await failure(pool)
    assert rests == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


# --- too many requests


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        (None, 1.0, 1.0),
        ("2", 2.0, 2.0),
        ("0.5", 0.5, 0.5),
        ("0", 0.1, 0.1),
        ("-7", 0.1, 0.1),
        ("86400", 60.0, 60.0),
        ("inf", 60.0, 60.0),
        ("soon", 1.0, 1.0),
        ("", 1.0, 1.0),
        ("in 540 s", 60.0, 60.0),
        ("in 40 s", 30.0, 40.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.1, 0.1),
    ],
)
async def test_a_node_that_wants_fewer_requests_is_left_alone_for_as_long_as_it_says(rests, header, low, high):
    if header and (seconds := re.fullmatch(r"in (\d+) s", header)):
        header = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=int(seconds[1])), usegmt=True)
    headers = {} if header is None else {"Retry-After": header}
    slow_down = Reply(status=429, body="slow down", content_type="text/plain", headers=headers)
    async with pooled([slow_down], [Reply()]) as (nodes, pool):
        assert await ask(pool) == "fine"
        assert pool.endpoints[0].resting_until > 0
    assert len(rests) == 1
    assert low <= rests[0] <= high
    assert [len(node.asked) for node in nodes] == [1, 1]


@pytest.mark.parametrize(
    "reply",
    [
        refusal(429),
        refusal(-32429),
        refusal(429, status=429),
        refusal(-32005, status=429),
        refusal(-32602, status=429),
        Reply(status=429, body='{"error":"calm down"}'),
    ],
    ids=["in the body", "a provider's own", "both", "behind", "with a permanent code", "not json-rpc"],
)
async def test_too_many_requests_is_never_permanent_however_it_is_said(reply):
    async with pooled([reply, Reply()], [Reply("other")]) as (_, pool):
        assert await ask(pool) == "other"
        assert pool.endpoints[0].resting_until > 0


async def test_a_resting_node_is_not_asked_by_other_calls_either():
    slow_down = Reply(status=429, body="", headers={"Retry-After": "0.3"})
    async with pooled([slow_down, Reply()]) as ((node,), pool):
        started = time.monotonic()
        first = asyncio.create_task(ask(pool))
        await until(lambda: pool.endpoints[0].resting_until)
        assert await asyncio.gather(first, *(ask(pool) for _ in range(5))) == ["fine"] * 6
        assert time.monotonic() - started >= 0.3
    assert len(node.asked) == 7


async def test_a_call_whose_turn_comes_while_the_node_rests_asks_another():
    limits = RpcLimits(answer_seconds=0.3, attempts=2, call_seconds=5.0, requests_per_second=2, one_method_share=1.0)
    async with pooled([Reply("first")], [Reply("second")], limits=limits) as (nodes, pool):
        first, second = pool.endpoints
        assert [await ask(pool) for _ in range(4)] == ["first"] * 2 + ["second"] * 2, "each has its budget"
        waiting = asyncio.create_task(ask(pool))
        await until(lambda: any(budget._waiters for budget in first.method_budgets.values()))
        first.rest(60.0)
        assert await waiting == "second"
        assert not second.budget.has_capacity()
    assert [len(node.asked) for node in nodes] == [2, 3]


async def test_of_a_public_endpoints_budget_one_method_takes_its_share_only():
    async with pooled([Reply()], limits=RpcLimits(requests_per_second=10)) as (_, pool):
        started = time.monotonic()
        for _ in range(4):
            await pool.call("getTransaction", [], Any)
        assert time.monotonic() - started < 0.2
        waiting = asyncio.create_task(pool.call("getTransaction", [], Any))
        await asyncio.sleep(0.1)
        assert not waiting.done(), "40 of 100"
        for _ in range(4):
            await pool.call("getSlot", [], Any)
        assert not waiting.done(), "another method has its own"
        await waiting


async def test_a_larger_budget_is_one_for_all_methods():
    async with pooled([Reply()], limits=RpcLimits(requests_per_second=50)) as (_, pool):
        started = time.monotonic()
        for _ in range(50):
            await pool.call("getTransaction", [], Any)
        assert time.monotonic() - started < 0.9


async def test_a_rest_that_is_lengthened_while_a_call_waits_is_waited_out():
    async with pooled([Reply()]) as (_, pool):
        endpoint = pool.endpoints[0]
        endpoint.rest(0.1)
        waiting = asyncio.create_task(ask(pool))
        await asyncio.sleep(0)
        endpoint.rest(0.3)
        until_then = endpoint.resting_until
        assert await waiting == "fine"
        assert time.monotonic() >= until_then


# --- bounds


async def test_attempts_are_bounded_by_the_pool_and_by_the_call():
    async with pooled([refusal(-32004)], limits=RpcLimits(attempts=3)) as ((node,), pool):
        await failure(pool)
        assert len(node.asked) == 3
        await failure(pool, attempts=1)
        assert len(node.asked) == 4


async def test_an_answer_that_does_not_come_is_not_waited_for():
    async with pooled([Reply(stall=True)], [Reply("other")], limits=QUICK) as (nodes, pool):
        assert await ask(pool) == "other"
        assert pool.endpoints[0].failures == 1
        await asyncio.wait_for(nodes[0].hung_up.wait(), 5)


@pytest.mark.parametrize(
    "reply", [Reply(status=429, headers={"Retry-After": "60"}), Reply(stall=True), refusal(-32004)]
)
async def test_a_call_ends_in_time_whatever_the_nodes_do(reply):
    limits = RpcLimits(answer_seconds=30.0, attempts=1_000, call_seconds=0.3)
    async with pooled([reply], limits=limits) as (_, pool):
        started = time.monotonic()
        error = await failure(pool)
        assert 0.25 < time.monotonic() - started < 20.0
    assert "within 0.3 s" in str(error)
    assert ("the last try" in str(error)) is not reply.stall


async def test_many_calls_at_once_each_get_their_own_answer(net):
    async with RpcPool([net.rpc_url]) as pool:
        calls = (pool.call("getMinimumBalanceForRentExemption", [size], int) for size in range(200))
        assert await asyncio.gather(*calls) == [6_960 * (128 + size) for size in range(200)]


# --- what it sends


async def test_requests_are_single_and_numbered():
    async with pooled([Reply()]) as ((node,), pool):
        await asyncio.gather(*(pool.call("getSlot", [{"commitment": "confirmed"}], str) for _ in range(20)))
    assert all(isinstance(question, dict) for question in node.asked), "no batch is ever sent"
    assert len({question["id"] for question in node.asked}) == 20
    assert {tuple(sorted(question)) for question in node.asked} == {("id", "jsonrpc", "method", "params")}
    assert node.asked[0]["params"] == [{"commitment": "confirmed"}]


async def test_a_node_that_rejects_batches_serves_all_the_same(net):
    net.set_faults({"batchesRejected": 1})
    async with RpcPool([net.rpc_url], QUICK) as pool:
        assert await pool.call("getHealth", [], str) == "ok"


# --- what it reports


async def test_nothing_that_is_reported_carries_a_key():
    reported, errors = [], []
    bad = [Reply(status=status, body="") for status in (302, 401, 429, 500)] + [refusal(-32602), Reply(body="?")]
    for reply in bad:
        async with scripted([reply]) as (node,):
            url = node.url.replace("//", "//user:SECRET@") + "/SECRET/?api-key=SECRET"
            async with RpcPool([url], QUICK, on_call=lambda *call: reported.append(call)) as pool:
                errors.append(await failure(pool, RpcError, attempts=1))
    dead = ["http://127.0.0.1:1/SECRET?api-key=SECRET", "http:///?api-key=SECRET", "http://[SECRET/", "SECRET"]
    for url in dead:
        async with RpcPool([url], QUICK, on_call=lambda *call: reported.append(call)) as pool:
            errors.append(await failure(pool, RpcError, attempts=1))
    assert len(errors) == len(reported) == len(bad) + len(dead)
    for error in errors:
        assert "SECRET" not in "".join(traceback.format_exception(error))
    assert "SECRET" not in repr(reported)
    assert {call[0] for call in reported} == {"127.0.0.1", "unknown"}


async def test_every_answer_is_reported_with_its_outcome_and_time():
    reported = []
    script = [Reply(), refusal(-32004), refusal(-32602), Reply(body="?"), DOWN, Reply(stall=True)]
    async with (
        scripted(script) as (node,),
        RpcPool([node.url], QUICK, on_call=lambda *call: reported.append(call)) as pool,
    ):
        assert await ask(pool) == "fine"
        for _ in script[1:]:
            await failure(pool, RpcError, attempts=1)
        waiting = asyncio.create_task(ask(pool, attempts=1))
        await until(lambda: len(node.asked) == 7)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert [outcome for _, _, outcome, _ in reported] == [
        "ok",
        "-32004",
        "-32602",
        "unusable",
        "503",
        "unreachable",
        "cancelled",
    ]
    assert all(method == "getSlot" and 0 <= seconds < 5 for _, method, _, seconds in reported)


# --- endings


async def test_a_cancelled_call_leaves_no_open_connection():
    async with scripted([Reply(stall=True)]) as (node,), RpcPool([node.url]) as pool:
        calls = [asyncio.create_task(ask(pool)) for _ in range(3)]
        await until(lambda: len(node.asked) == 3)
        for call in calls:
            call.cancel()
        assert all(isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*calls, return_exceptions=True))
        await asyncio.wait_for(node.hung_up.wait(), 5)
        connector = pool._session.connector
        assert not connector._acquired
        assert not any(connector._conns.values())


async def test_a_pool_needs_an_endpoint_and_has_to_be_opened():
    with pytest.raises(ValueError, match="at least one endpoint"):
        RpcPool([])
    with pytest.raises(RuntimeError, match="async with"):
        await ask(RpcPool(["http://127.0.0.1:1"]))


# --- the faults of a whole node


@pytest.mark.parametrize(
    "faults",
    [
        {"tooManyRequests": {"rate": 1, "count": 2, "amount": 0.1}},
        {"serverErrors": {"rate": 1, "count": 2}},
        {"malformedAnswers": {"rate": 1, "count": 2}},
        {"timeouts": {"rate": 1, "count": 2}},
        {"latencySeconds": {"amount": 0.05, "count": 4}},
        {"serverErrors": 0.3, "malformedAnswers": 0.3},
    ],
    ids="+".join,
)
async def test_calls_get_through_the_faults_of_a_node(net, faults):
    net.set_faults(faults)
    limits = RpcLimits(answer_seconds=0.3, attempts=30, call_seconds=20.0)
    async with RpcPool([net.rpc_url, net.ws_url.replace("ws", "http")], limits) as pool:
        for _ in range(4):
            assert await pool.call("getHealth", [], str) == "ok"
