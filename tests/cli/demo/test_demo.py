"""`pay402 demo --once`: the whole system, held against the chain."""

import os
import re
import signal
from html import unescape

import asyncpg
import pytest

from runtime.database import open_connection
from runtime.embedded.postgres import EmbeddedPostgres
from runtime.errors import OperatorError
from tests.support.command_line import eventually, pay402, processes_of, running
from tests.support.programs import ROOT

LAST_LINE = re.compile(r"demo: chain (\d+) transfers, ledger (\d+), missing 0, doubled 0, unexplained 0")
KINDS = {
    "plain",
    "checked",
    "batch",
    "inner instruction",
    "lookup table",
    "Token-2022 with fee",
    "wrapped SOL",
    "native SOL",
    "several in one",
    "new account",
    "failed",
    "x402",
}
PICTURE = ROOT / "docs" / "demo.svg"
VERDICTS = [
    ("plain", "as it was paid", "VALID"),
    ("plain", "the same proof again", "REPLAY_ATTACK"),
    ("plain", "the same payment with another nonce", "REPLAY_ATTACK"),
    ("plain", "one unit more than was paid", "INSUFFICIENT_AMOUNT"),
    ("plain", "by somebody who did not pay", "PAYER_MISMATCH"),
    ("plain", "to another shop", "RECIPIENT_MISMATCH"),
    ("batch", "as it was paid", "VALID"),
    ("lookup table", "as it was paid", "VALID"),
    ("failed", "of a transaction that failed", "TRANSACTION_FAILED"),
    ("x402", "by a wallet without SOL", "VALID"),
    ("x402", "and settled", "SETTLED"),
    ("x402", "the same payment again", "duplicate_settlement"),
]


def words(text):
    """Every word of a text but numbers and signatures, which differ between two runs."""
    return {word for word in text.replace("\N{NO-BREAK SPACE}", " ").split() if not re.search(r"\d|…", word)}


async def test_ledger_and_chain_agree_on_every_kind_of_payment(home):
    done = await pay402("demo", "--once", home=home)
    assert (done.code, done.err) == (0, "")
    *table, last = done.out.splitlines()
    verdict = LAST_LINE.fullmatch(last)
    assert verdict, last
    chain, ledger = map(int, verdict.groups())
    assert chain == ledger >= 40
    sent = dict(re.findall(r"^│ (.+?) +│ (\d+) +│$", "\n".join(table).partition("What was paid")[2], re.MULTILINE))
    assert set(sent) == KINDS
    assert all(int(count) for count in sent.values())
    verdicts = re.findall(
        r"^│ (.+?) +│ (.+?) +│ ([^│]+?) +│$", done.out.partition("What the API verified")[2], re.MULTILINE
    )
    assert verdicts == VERDICTS
    # The README's picture shows what is printed today.
    drawn = unescape(" ".join(re.findall(r"<text [^>]*>([^<]*)</text>", PICTURE.read_text(encoding="utf-8"))))
    assert words(drawn) <= words(f"pay402 demo --once {done.out}"), "run make picture"
    assert words(drawn) >= words(done.out.partition("What the API verified")[2]), "run make picture"
    log = (home / "demo" / "logs" / "indexer.log").read_text()
    assert log.count("socket_ended") >= 2  # its socket was cut twice meanwhile
    assert "Traceback" not in log
    assert processes_of(home) == []


@pytest.mark.parametrize("arguments", [(), ("--once",)])
async def test_ctrl_c_ends_it_and_is_no_defect(arguments, home):
    async with running("demo", *arguments, home=home) as demo:
        await eventually(lambda: _is_paid(home), seconds=100)
        # Ctrl-C on a terminal reaches every process of the group.
        os.killpg(demo.pid, signal.SIGINT)
        done = await demo.ended()
    assert done.code == (130 if arguments else 0), done.err
    assert "defect" not in done.out + done.err
    assert "Traceback" not in done.out + done.err
    assert processes_of(home) == []


async def _is_paid(home):
    """True when the payers are at work."""
    try:
        async with open_connection(EmbeddedPostgres(home / "demo").dsn("pay402")) as connection:
            return await connection.fetchval("SELECT count(*) > 3 FROM transfers")
    except (OperatorError, asyncpg.PostgresError):
        return False
