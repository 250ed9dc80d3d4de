"""A live wallet or service becomes one for tests while it is asked for: the second sees what the first did."""

import asyncio
import datetime as dt

import pytest

from ledger.jobs import NewJob, add_job
from ledger.payment_requests import create_request
from ledger.recipients import MovedToTests, move_to_tests
from ledger.services import move_service_to_tests
from tests.support.funded_jobs import ordered_job
from tests.support.ledger_checks import somebody_waits
from tests.support.small_ledger import USDC, add_merchant, address

LATE_SECONDS = 60


@pytest.fixture
async def merchant(pool):
    return await add_merchant(pool, "merchant", 10)


@pytest.fixture
async def service(pool, merchant):
    """A live service that nobody has ordered."""
    job = await ordered_job(pool, merchant.wallet)
    await pool.execute("UPDATE job_requests SET environment = 'test' WHERE id = $1", job)
    return await pool.fetchval("SELECT service_id FROM job_requests WHERE id = $1", job)


async def asked(database, merchant):
    return await create_request(
        database, user_id=merchant.user, recipient=merchant.wallet, mint=USDC, currency="USDC", amount=5, resource=None,
        expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1), reference=address(77),
    )  # fmt: skip


async def ordered(connection, merchant, service):
    request = await asked(connection, merchant)
    price = await connection.fetchrow("SELECT price_amount, price_mint FROM agent_services WHERE id = $1", service)
    new = NewJob(
        service_id=service, client_user_id="client", client_agent_id="buyer", nonce=request.nonce, input=None,
        deadline=request.expires_at, price_amount=price["price_amount"], price_mint=price["price_mint"],
        service_environment="live",
    )  # fmt: skip
    return await add_job(connection, new)


async def on_its_own(pool, work, *arguments, **options):
    async with pool.acquire() as connection:
        return await work(connection, *arguments, **options)


async def first_and_second(pool, first, second):
    """What both return where the second begins before the first is committed."""
    async with pool.acquire() as connection:
        async with connection.transaction():
            found = await first(connection)
            other = asyncio.create_task(on_its_own(pool, second))
            await somebody_waits(pool)
        return found, await other


async def test_a_request_to_a_wallet_that_becomes_one_for_tests_is_not_made(pool, merchant):
    moved, made = await first_and_second(
        pool,
        lambda one: move_to_tests(one, merchant.wallet, late_seconds=LATE_SECONDS),
        lambda one: asked(one, merchant),
    )
    assert (moved, made) == (MovedToTests(True, None), None)
    assert await pool.fetchval("SELECT count(*) FROM nonces") == 0


async def test_a_wallet_to_which_a_request_is_being_made_stays_live(pool, merchant):
    made, moved = await first_and_second(
        pool,
        lambda one: asked(one, merchant),
        lambda one: move_to_tests(one, merchant.wallet, late_seconds=LATE_SECONDS),
    )
    assert made is not None
    assert moved == MovedToTests(False, "requests")


async def test_a_service_that_becomes_one_for_tests_is_not_ordered_live(pool, merchant, service):
    moved, made = await first_and_second(
        pool, lambda one: move_service_to_tests(one, service), lambda one: ordered(one, merchant, service)
    )
    assert (moved, made) == (MovedToTests(True, None), None)


async def test_a_service_that_is_being_ordered_live_stays_live(pool, merchant, service):
    made, moved = await first_and_second(
        pool, lambda one: ordered(one, merchant, service), lambda one: move_service_to_tests(one, service)
    )
    assert made is not None
    assert moved == MovedToTests(False, "jobs")


async def test_a_request_that_has_expired_for_longer_than_payments_are_late_keeps_no_wallet_live(pool, merchant):
    await asked(pool, merchant)
    for seconds, expected in ((LATE_SECONDS - 30, (False, "requests")), (LATE_SECONDS + 30, (True, None))):
        await pool.execute("UPDATE nonces SET expires_at = now() - make_interval(secs => $1)", float(seconds))
        moved = await on_its_own(pool, move_to_tests, merchant.wallet, late_seconds=LATE_SECONDS)
        assert (moved.is_moved, moved.held_by) == expected
