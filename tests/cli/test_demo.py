"""`pay402 demo --once`: the whole system, held against the chain."""

import re

from tests.support.command_line import pay402, processes_of

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
}
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
]


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
    log = (home / "demo" / "logs" / "indexer.log").read_text()
    assert log.count("socket_ended") >= 2  # its socket was cut twice meanwhile
    assert "Traceback" not in log
    assert processes_of(home) == []
