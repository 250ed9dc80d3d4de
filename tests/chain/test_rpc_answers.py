"""What RpcPool makes of answers: which are none, which errors another node or moment may answer better."""

import time

import pytest

from chain import rpc
from chain.rpc import PermanentRpcError
from tests.support.scripted_nodes import Reply, ask, failure, pooled, refusal, scripted

# --- answers that are none


BROKEN = {
    "error page": Reply(status=502, body="<html>Bad Gateway</html>", content_type="text/html"),
    "page with 200": Reply(body="<html>Welcome</html>", content_type="text/html"),
    "not found": Reply(status=404, body="404 page not found", content_type="text/plain"),
    "5xx in json": Reply(status=500, body='{"message":"oops"}'),
    "5xx with a permanent code": refusal(-32602, status=500),
    "redirect": Reply(status=302, body="", headers={"Location": "http://127.0.0.1:1/"}, content_type="text/html"),
    "cut short": Reply(body='{"jsonrpc":"2.0","id":1,"resu'),
    "empty": Reply(body=""),
    "not utf-8": Reply(body=b'{"jsonrpc":"2.0","id":1,"result":"\xff"}'),
    "another id": Reply(id=999),
    "id of text": Reply(id="one"),
    "neither result nor error": Reply(body='{"jsonrpc":"2.0","id":1}'),
    "list": Reply(body="[]"),
    "another type": Reply(result={"slot": 5}),
    "error of text": Reply(body='{"jsonrpc":"2.0","id":1,"error":"no"}'),
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_asked_for_again_elsewhere_and_its_node_rests(reply):
    async with pooled([reply], [Reply("other")]) as (nodes, pool):
        assert await ask(pool) == "other"
        assert pool.endpoints[0].resting_until > 0
    assert [len(node.asked) for node in nodes] == [1, 1]


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
async def test_broken_answers_only_are_a_retryable_failure(reply):
    async with pooled([reply]) as ((node,), pool):
        error = await failure(pool)
    assert "127.0.0.1" in str(error)
    assert (f"HTTP {reply.status}" in str(error)) is (reply.status != 200)
    assert error.code == (None if reply.status == 200 else reply.status)
    assert len(node.asked) == 2


async def test_a_redirect_is_not_followed():
    async with scripted([Reply("stolen")]) as (other,):
        moved = Reply(status=307, body="", headers={"Location": other.url})
        async with pooled([moved]) as (_, pool):
            assert "HTTP 307" in str(await failure(pool))
    assert other.asked == []


async def test_an_answer_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(rpc, "_ANSWER_BYTES_MAX", 100_000)
    async with pooled([Reply("x" * 200_000)], [Reply("x" * 90_000)]) as (_, pool):
        assert len(await ask(pool)) == 90_000
        assert pool.endpoints[0].resting_until > 0


async def test_a_result_of_null_is_a_result():
    async with pooled([Reply(result=None)]) as (_, pool):
        assert await ask(pool, result_type=str | None) is None


@pytest.mark.parametrize("status", [401, 403])
async def test_an_endpoint_that_refuses_access_is_left_for_long(status):
    async with pooled([Reply(status=status, body='{"error":"key"}')], [Reply()]) as (nodes, pool):
        assert [await ask(pool), await ask(pool)] == ["fine"] * 2
        assert 20 < pool.endpoints[0].resting_until - time.monotonic() <= 30
    assert [len(node.asked) for node in nodes] == [1, 2]


# --- error codes


@pytest.mark.parametrize(
    ("code", "rests"),
    [
        (-32001, False), (-32004, False), (-32005, True), (-32007, False), (-32009, False), (-32011, False),
        (-32014, False), (-32016, False), (-32019, False), (-32603, True), (-32700, False), (429, True),
        (-32429, True), (-32000, False), (-32012, False), (-32097, False), (503, False),
    ],
)  # fmt: skip
async def test_codes_that_another_moment_or_node_may_answer_better(code, rests):
    async with pooled([refusal(code), Reply()]) as ((node,), pool):
        assert await ask(pool) == "fine"
    assert len(node.asked) == 2
    async with pooled([refusal(code)]) as ((node,), pool):
        error = await failure(pool, attempts=1)
        assert error.code == code
        assert (pool.endpoints[0].resting_until > 0) is rests


@pytest.mark.parametrize("code", [-32600, -32601, -32602, -32002, -32003, -32006, -32010, -32013, -32015, -32018])
async def test_codes_that_every_node_would_answer_alike(code):
    reported = Reply(error={"code": code, "message": "no", "data": {"logs": []}})
    async with pooled([reported], [Reply()]) as (nodes, pool):
        error = await failure(pool, PermanentRpcError)
        assert (error.code, error.data) == (code, {"logs": []})
        assert pool.endpoints[0].resting_until == 0
    assert [len(node.asked) for node in nodes] == [1, 0]
