"""REDIS_URL and addresses of nodes: signs of passwords that are not escaped, and what providers add."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
import redis.asyncio

from chain.hosts import host_of
from runtime.embedded.servers import redis_address
from runtime.errors import OperatorError
from runtime.redis_address import usable_redis_address
from runtime.settings import CacheSettings, SolanaSettings, load
from worker.redis_pool import SchedulePool

HOW = "with / # ? and @ in a password as %2F %23 %3F %40"
# Each with pieces of its password, none of which may be shown.
UNCLEAR = {
    "hash": "default:abcd#secretB@127.0.0.1:6399/0",
    "hash and no host": "default:abcd#",
    "question": "default:abcd?secretB@127.0.0.1:6399/0",
    "at and slash": "default:s3cr@abcd/9x@127.0.0.1:6399/0",
    "slash": "default:1234/abcd@127.0.0.1:6399/0",
    "bracket": "default:[abcd@127.0.0.1:6399/0",
    "brackets": "default:[abcd]@127.0.0.1:6399/0",
    "no number for a port": "127.0.0.1:abcd/0",
    "a port of too many": "127.0.0.1:1234567/0",
    "another script": "default:\u2100abcd@127.0.0.1:6399/0",
    "no name for a host": f"default:{'abcd' * 20}.@{'abcd' * 20}:6399/0",
}
PIECES = ("abcd", "secretB", "s3cr", "9x", "1234")


def refusal_of(settings):
    with pytest.raises(OperatorError) as raised:
        load(settings)
    return str(raised.value)


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
@pytest.mark.parametrize("rest", UNCLEAR.values(), ids=UNCLEAR)
def test_a_redis_address_that_is_unclear_is_refused_without_a_piece_of_it(monkeypatch, scheme, rest):
    monkeypatch.setenv("REDIS_URL", f"{scheme}://{rest}")
    sentence = refusal_of(CacheSettings)
    assert sentence.startswith("REDIS_URL is not usable: ")
    assert HOW in sentence
    assert not [piece for piece in PIECES if piece in sentence]


@pytest.mark.parametrize("variable", ["SOLANA_RPC_URL", "SOLANA_WS_URL"])
@pytest.mark.parametrize("rest", [*UNCLEAR.values(), "abcd/9x@host", "me:s3cr@abcd/9x@host"])
def test_a_nodes_address_that_is_unclear_is_refused_without_a_piece_of_it(monkeypatch, variable, rest):
    url = f"{'https' if variable == 'SOLANA_RPC_URL' else 'wss'}://{rest}"
    monkeypatch.setenv(variable, f"{url.partition('://')[0]}://one.example,{url}")
    sentence = refusal_of(SolanaSettings)
    assert sentence.startswith(f"{variable} is not usable: ")
    assert HOW in sentence
    assert not [piece for piece in PIECES if piece in sentence]
    assert host_of(url) == "unknown"


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("db=abcd", "db"),
        ("ssl_cert_reqs=abcd", "ssl_cert_reqs"),
        ("ssl_check_hostname=abcd", "ssl_check_hostname"),
    ],
)
def test_a_parameter_that_means_nothing_is_refused_by_its_name(monkeypatch, parameter, said):
    monkeypatch.setenv("REDIS_URL", f"rediss://:hunter2@cache.example?{parameter}")
    sentence = refusal_of(CacheSettings)
    assert said in sentence
    assert "abcd" not in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize(
    ("address", "usable"),
    [
        ("redis://:p%40%2F%23@cache.example:6379/1", "redis://:p%40%2F%23@cache.example:6379/1"),
        ("redis://me:a@b@cache.example", "redis://me:a@b@cache.example"),
        ("redis://cache.example?family=4&socket_timeout=x&tls=true&max_connections=0", "redis://cache.example"),
        ("redis://cache.example?db=2&protocol=9&ssl_cert_reqs=none", "redis://cache.example?db=2"),
        (
            "rediss://cache.example/?ssl_cert_reqs=CERT_NONE&pool=3",
            "rediss://cache.example/?ssl_cert_reqs=none&ssl_check_hostname=False",
        ),
        ("rediss://cache.example/0?ssl_cert_reqs=required", "rediss://cache.example/0?ssl_cert_reqs=required"),
        ("redis://cache.example:6379/3 ", "redis://cache.example:6379/3 "),
        ("unix:///run/redis.sock?db=1&timeout=x", "unix:///run/redis.sock?db=1"),
    ],
)
def test_what_other_drivers_understand_is_left_out(monkeypatch, address, usable):
    monkeypatch.setenv("REDIS_URL", address)
    load(CacheSettings)
    assert usable_redis_address(address) == usable
    # Nothing is left that a connection does not take.
    for opened in (redis.asyncio.from_url(usable, socket_timeout=1.0), SchedulePool.to(usable)):
        pool = getattr(opened, "connection_pool", opened)
        pool.connection_class(**pool.connection_kwargs)


async def test_a_real_server_answers_at_an_address_with_anothers_parameters(monkeypatch, redis_url):
    monkeypatch.setenv("REDIS_URL", f"{redis_url}?family=4&socket_timeout=x&retry_on_timeout=maybe")
    async with redis_address(load(CacheSettings)) as url:
        client = redis.asyncio.from_url(url)
        assert await client.ping()
        await client.aclose()


@pytest.mark.parametrize("command", ["doctor", "worker", "api"])
@pytest.mark.parametrize("kind", ["hash", "brackets"])
async def test_no_process_takes_it_for_a_defect(command, kind, database_url, net, tmp_path):
    environment = {
        **os.environ, "DATABASE_URL": database_url, "REDIS_URL": f"redis://{UNCLEAR[kind]}", "PORT": "0",
        "SOLANA_RPC_URL": net.rpc_url, "PAY402_HOME": str(tmp_path), "METRICS_PORT": "0", "COLUMNS": "250",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "pay402"), command, env=environment, cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    said = out.decode()
    assert process.returncode == 1
    assert "REDIS_URL is not usable" in said
    assert "defect" not in said
    assert not [piece for piece in PIECES[:4] if piece in said]
