"""Whoever registers a webhook reaches nothing that only we can reach: each address and trick of the list is refused."""

import ssl
import subprocess

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from ledger.webhooks import DueDelivery
from runtime.receiver_addresses import (
    ForbiddenReceiverError,
    PublicResolver,
    check_receiver,
    check_url,
)
from runtime.receiver_policy import ReceiverPolicy
from runtime.webhook_signatures import new_signing_keys
from tests.support.api_client import key_for, running_api
from tests.support.ledger_rows import NO_NODE
from tests.support.webhook_receivers import receiving
from worker.webhooks.sending import Patience, open_session, send

NOBODY = "00000000-0000-0000-0000-000000000001"

ATTACKS = {
    "loopback": "https://127.0.0.1/",
    "loopback by name": "https://localhost/",
    "loopback as one number": "https://2130706433/",
    "loopback in octal": "https://0177.0.0.1/",
    "loopback in hexadecimal": "https://0x7f.0.0.1/",
    "loopback cut short": "https://127.1/",
    "loopback of IPv6": "https://[::1]/",
    "loopback of IPv4 in IPv6": "https://[::ffff:127.0.0.1]/",
    "this host": "https://0.0.0.0/",
    "private 10": "https://10.0.0.1/",
    "private 172.16": "https://172.16.0.1/",
    "private 192.168": "https://192.168.1.1/",
    "private of IPv6": "https://[fd00::1]/",
    "carrier's own": "https://100.64.0.1/",
    "link-local and metadata": "https://169.254.169.254/latest/meta-data/",
    "metadata of IPv6": "https://[fd00:ec2::254]/",
    "link-local of IPv6": "https://[fe80::1]/",
    "link-local with a zone": "https://[fe80::1%25eth0]/",
    "metadata through NAT64": "https://[64:ff9b::a9fe:a9fe]/",
    "loopback through 6to4": "https://[2002:7f00:1::]/",
    "loopback through Teredo": "https://[2001:0:7f00:1::]/",
    "loopback as an IPv4-compatible address": "https://[::7f00:1]/",
    "multicast": "https://224.0.0.1/",
    "broadcast": "https://255.255.255.255/",
    "reserved": "https://240.0.0.1/",
    "without TLS": "http://example.com/",
    "another scheme": "file:///etc/passwd",
    "a user in front of another host": "https://example.com@127.0.0.1/",
    "a backslash that readers take differently": "https://example.com\\@127.0.0.1/",
    "a line end": "https://example.com/\r\nX: y",
    "a port of something else": "https://example.com:22/",
    "no host": "https:///hooks",
    "a port that is none": "https://example.com:99999/",
}


@pytest.mark.parametrize("trick", ATTACKS)
async def test_no_webhook_is_registered_that_leads_inside(trick):
    with pytest.raises(ForbiddenReceiverError):
        await check_receiver(ATTACKS[trick], ReceiverPolicy.PUBLIC)


@pytest.mark.parametrize("trick", ATTACKS)
async def test_nothing_is_sent_inside_that_was_registered_all_the_same(trick):
    """As if the check at registration had been passed: by another policy, or by a name that means another thing now."""
    async with open_session(ReceiverPolicy.PUBLIC, connections_max=1) as session:
        ended, _ = await send(session, due(ATTACKS[trick]), KEYS, ReceiverPolicy.PUBLIC, Patience(2.0, 60.0))
    assert ended.answer_status is None
    assert ended.error is not None


async def test_the_api_answers_each_with_a_sentence(database_url, redis_url, pool):
    async with running_api(database_url, redis_url, [NO_NODE]) as api:
        client = api.holding(await key_for(pool))
        made = [await client.post("/webhooks", {"url": url}) for url in ATTACKS.values()]
        assert [(reply.status, reply.code) for reply in made] == [(400, "VALIDATION_ERROR")] * len(ATTACKS)
        assert await pool.fetchval("SELECT count(*) FROM webhooks") == 0


KEYS = [new_signing_keys()]


def due(url):
    return DueDelivery(NOBODY, 1, 1, 0.0, url, "{}", [])


class Scripted(AbstractResolver):
    """A DNS that says one thing first and another later."""

    def __init__(self, *answers):
        self.answers = list(answers)

    async def resolve(self, host, port=0, family=0):
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            {"hostname": host, "host": one, "port": port, "family": family, "proto": 0, "flags": 0}
            for one in address.split()
        ]

    async def close(self):
        pass


async def test_a_name_that_means_another_address_when_the_connection_is_made_leads_nowhere():
    async with receiving() as inside:
        port = int(inside.url.rsplit(":", 1)[1].split("/")[0])
        resolver = PublicResolver(ReceiverPolicy.PUBLIC, Scripted("93.184.216.34", "127.0.0.1"))
        # At registration it was public.
        assert await resolver.resolve("rebound.example", port)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)
        ) as session:
            with pytest.raises((ForbiddenReceiverError, aiohttp.ClientError)):
                await session.post(f"http://rebound.example:{port}/hooks", data=b"{}")
        assert inside.sent == []


async def test_a_name_with_a_public_and_a_private_address_leads_nowhere():
    resolver = PublicResolver(ReceiverPolicy.PUBLIC, Scripted("93.184.216.34 10.0.0.7"))
    with pytest.raises(ForbiddenReceiverError):
        await resolver.resolve("both.example")


async def test_the_connection_goes_to_the_address_that_was_checked():
    """Between the check and the connection nobody is asked again what the name means."""
    scripted = Scripted("127.0.0.1", "10.0.0.1")
    resolver = PublicResolver(ReceiverPolicy.LOOPBACK_TOO, scripted)
    async with receiving() as here:
        port = int(here.url.rsplit(":", 1)[1].split("/")[0])
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False)) as session,
            session.post(f"http://once.example:{port}/hooks", data=b"{}", headers={"webhook-id": "x"}) as response,
        ):
            assert response.status == 204
    assert scripted.answers == ["10.0.0.1"]


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    context = self_signed(tmp_path)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        url = f"https://127.0.0.1:{runner.addresses[0][1]}/hooks"
        async with open_session(ReceiverPolicy.ANY, connections_max=1) as session:
            ended, _ = await send(session, due(url), KEYS, ReceiverPolicy.ANY, Patience(5.0, 60.0))
    finally:
        await runner.cleanup()
    assert (ended.answer_status, ended.error) == (None, "Its TLS certificate is not good.")


def self_signed(directory):
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_no_proxy_of_the_environment_is_used(monkeypatch):
    async with receiving() as here:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        async with open_session(ReceiverPolicy.LOOPBACK_TOO, connections_max=1) as session:
            ended, _ = await send(session, due(here.url), KEYS, ReceiverPolicy.LOOPBACK_TOO, Patience(5.0, 60.0))
    assert ended.answer_status == 204


@pytest.mark.parametrize(
    ("policy", "url", "is_allowed"),
    [
        (ReceiverPolicy.PUBLIC, "https://93.184.216.34/hooks", True),
        (ReceiverPolicy.PUBLIC, "https://93.184.216.34:8443/hooks", True),
        (ReceiverPolicy.PUBLIC, "https://[2606:2800:220:1::1]/", True),
        (ReceiverPolicy.LOOPBACK_TOO, "http://127.0.0.1:3000/", True),
        (ReceiverPolicy.LOOPBACK_TOO, "http://[::1]:3000/", True),
        (ReceiverPolicy.LOOPBACK_TOO, "http://10.0.0.1:3000/", False),
        (ReceiverPolicy.LOOPBACK_TOO, "http://169.254.169.254/", False),
        (ReceiverPolicy.ANY, "http://10.0.0.1:3000/", True),
        (ReceiverPolicy.ANY, "http://224.0.0.1/", False),
    ],
)
def test_each_policy_allows_what_it_says(policy, url, is_allowed):
    if is_allowed:
        check_url(url, policy)
    else:
        with pytest.raises(ForbiddenReceiverError):
            check_url(url, policy)
