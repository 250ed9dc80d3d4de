"""A short run of the soak that `make soak` runs long, and what its judge makes of a system that is not well."""

import os
import signal
import time

import pytest

from runtime.database import open_connection
from tests.scenarios.soak.__main__ import soaked
from tests.scenarios.soak.estate import QUICK
from tests.scenarios.soak.faults import DEPENDENCIES, KINDS, STAYING, Happened, plan
from tests.scenarios.soak.logs import Said, is_explained
from tests.scenarios.soak.memory import Life
from tests.scenarios.soak.report import as_json, draw
from tests.scenarios.soak.trade import Answered
from tests.scenarios.soak.verdict import judge

SECONDS = 14.0


def named(points, *, good):
    return {point.name: point.found for point in points if point.is_good == good}


async def test_a_short_soak_is_good_and_whatever_goes_wrong_is_noticed(home, tmp_path):
    seed = int(os.environ.get("SOAK_SEED") or time.time())
    print(f"replay: SOAK_SEED={seed} .venv/bin/python -m pytest tests/scenarios/test_soak.py")  # noqa: T201
    async with soaked(home, seed=seed, seconds=SECONDS, rate=8, gap_seconds=1.2, pace=QUICK) as soak:
        points = await judge(soak)
        assert named(points, good=False) == {}, f"seed {seed}: {soak.happened}"
        assert len(soak.happened) >= 3
        assert len(soak.trade.sales) > 50
        assert as_json(soak, points)["good"]
        draw(soak, tmp_path / "soak.png")
        assert (tmp_path / "soak.png").stat().st_size > 10_000

        await spoil(soak)
        spoiled = await judge(soak)
        soak.estate.children["indexer"].process.kill()
    assert named(spoiled, good=True).keys() == {"pay402 audit --whole"}
    found = named(spoiled, good=False)
    assert "missing 1, too many 0" in found["chain = ledger"]
    assert "worker ended by itself" in found["ends as it is told"]


async def spoil(soak):
    """Do one thing against each promise but that of the audit, which sees balances and no transfers."""
    estate, books = soak.estate, soak.trade.books
    # It would find what is missing, and put it back.
    estate.children["indexer"].process.send_signal(signal.SIGSTOP)
    async with open_connection(estate.dsn) as connection:
        await connection.execute("SET session_replication_role = replica")
        lost = next(sent.signature for sent in soak.trade.market.sent if sent.payment.kind == "native SOL")
        await connection.execute("DELETE FROM transfers WHERE signature = $1", lost)
        # A claim that claims more than its transfer moved breaks an invariant; under another nonce it is nobody's.
        await connection.execute(
            "UPDATE transactions SET nonce = 'nobody', amount = 10 * amount, least_amount = 10 * amount,"
            " received = 10 * amount WHERE nonce = $1",
            soak.trade.sales[0].proof["nonce"],
        )
        await connection.execute("UPDATE payouts SET amount = 1000 * amount")
        await connection.execute("DELETE FROM payout_attempts")
    soak.strangers.won.append("a thief was answered 200 VALID")
    estate.liar.invented.add(soak.trade.sales[-1].proof["transactionId"])
    soak.trade.sales[-1].reported["a thief"] = "VALID"
    soak.trade.jobs["forgotten"] = "approved, escrowed"
    later = time.time() + 1000
    books.answers += [Answered(later, "verify", status, None, 0.1) for status in (500, 503)]
    books.cut.append(later)
    with estate.log_of("api").open("a") as log:
        log.write("Traceback (most recent call last):\n")
    process = estate.children["worker"].process
    process.kill()
    await process.wait()
    soak.watch.lives["worker", 0] = life(lambda second: 80 + second / 10)


def life(size, seconds=600):
    return Life("worker", 1, [float(second) for second in range(seconds)], [size(second) for second in range(seconds)])


@pytest.mark.parametrize(
    ("size", "is_flat"),
    [
        (lambda _: 80.0, True),
        (lambda second: min(40 + second, 80), True),  # warms up, and stays
        (lambda second: 80 + second % 7, True),  # breathes
        (lambda second: 80 + second / 60, False),  # a megabyte a minute
        (lambda second: 80 if second < 300 else 80 + (second - 300) / 40, False),  # late
        (lambda second: 80 - second / 60, True),
    ],
)
def test_growth_is_known_from_warming_up(size, is_flat):
    assert life(size).is_flat == is_flat


def test_the_caches_of_connections_may_fill_and_not_more():
    postgres = life(lambda second: 100 + second / 10)
    postgres.role, postgres.processes = "postgres", 16
    assert postgres.is_flat
    postgres.processes = 15
    assert not postgres.is_flat


def test_a_short_life_is_not_judged():
    assert not life(lambda second: 80 + second, seconds=100).is_long


CRASH = Happened("postgres crashed", 100.0, 103.0)


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        (Said("api", 101.0, "warning", "database_away", ""), True),
        (Said("api", 112.0, "warning", "database_away", ""), True),
        (Said("api", 99.0, "warning", "database_away", ""), False),
        (Said("api", 114.0, "warning", "database_away", ""), False),
        (Said("worker", 101.0, "warning", "redis_lost", ""), False),
        (Said("api", 101.0, "error", "defect", ""), False),
        (Said("indexer", 101.0, "error", "database_away", ""), False),
        (Said("indexer", 101.0, "warning", "never heard of", ""), False),
        (Said("indexer", None, "error", "", "Traceback (most recent call last):"), False),
        (Said("postgres", 101.0, "fatal", "", ""), True),
        (Said("postgres", 101.0, "error", "", ""), False),
        (Said("postgres", 200.0, "fatal", "", ""), False),
    ],
)
def test_only_what_a_fault_leads_to_is_explained_by_it(said, explained):
    assert is_explained(said, [CRASH], grace_seconds=10.0) == explained


def test_the_plan_follows_from_the_seed_and_leaves_processes_time_to_grow():
    faults = plan(7, 600.0, 12.0)
    assert faults == plan(7, 600.0, 12.0)
    assert faults != plan(8, 600.0, 12.0)
    assert {fault.kind for fault in faults} == set(KINDS)
    assert {fault.kind for fault in faults if fault.at_seconds > 270} <= set(DEPENDENCIES)
    assert {fault.kind for fault in faults if fault.at_seconds > 360} == set(STAYING)
