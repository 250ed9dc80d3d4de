"""`pay402 recipients`: which wallets are followed, and what is refused."""

import json

import pytest
from aiohttp import web
from solders.keypair import Keypair

from chain.programs import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from cli.registration import register
from cli.system.localnet_address import solana_endpoints
from ledger.recipients import register_wallet
from localnet.genesis import FEE_MINT
from localnet.payments import USDC
from runtime.errors import OperatorError
from runtime.settings import SolanaSettings
from tests.support.command_line import pay402
from tests.support.funded_jobs import ordered_job
from tests.support.http_serving import serving
from tests.support.sentences import assert_sentence
from tests.support.settlement_rows import reserved
from tests.support.small_ledger import Merchant, add_claim

WALLET = Keypair.from_seed(bytes([7]) * 32).pubkey()


@pytest.fixture
def recipients(home, database_url, net):
    """Runs `pay402 recipients ...` against a database and a chain."""

    async def run(*arguments, **variables):
        given = {"DATABASE_URL": database_url, "SOLANA_RPC_URL": net.rpc_url, **variables}
        return await pay402("recipients", *arguments, home=home, **given)

    return run


async def rows(pool):
    return [dict(row) for row in await pool.fetch("SELECT * FROM recipients ORDER BY address")]


async def test_a_wallet_is_added_listed_removed_and_added_again_for_people_and_for_scripts(recipients, pool, net):
    net.chain.tick(100)
    added = await recipients("add", WALLET, "--user", "shop", "--label", "API sales")
    assert (added.code, added.err) == (0, "")
    assert added.out.startswith(f"Following {WALLET}\nfrom slot ")
    (row,) = await rows(pool)
    assert (row["address"], row["user_id"], row["label"], row["active"]) == (str(WALLET), "shop", "API sales", True)
    # A payment under way while it was added counts, but not the whole past.
    assert 0 < row["followed_from_slot"] <= net.chain.open.slot

    listed = await recipients("list")
    assert (listed.code, listed.err) == (0, "")
    for word in (str(WALLET), "shop", "API sales", f"from slot {row['followed_from_slot']}"):
        assert word in listed.out

    removed = await recipients("remove", WALLET)
    assert (removed.code, removed.out) == (0, f"No longer following {WALLET}.\n")
    assert [one["active"] for one in await rows(pool)] == [False]
    (await recipients("remove", WALLET)).assert_refused(str(WALLET), "recipients list")

    again = await recipients("add", f"  {WALLET} ", "--from-genesis", "--json")
    assert again.json == {"address": str(WALLET), "user_id": "shop", "followed_from_slot": 0, "is_new": False}
    (listed,) = (await recipients("list", "--json")).json
    assert (listed["address"], listed["active"], listed["label"]) == (str(WALLET), True, "API sales")
    assert (await recipients("remove", WALLET, "--json")).json == {"removed": str(WALLET)}
    assert [one["active"] for one in await rows(pool)] == [False]


async def test_a_wallet_for_tests_becomes_live_and_never_the_other_way_round(recipients, pool):
    (await recipients("add", WALLET, "--environment", "moon")).assert_refused("live or test")
    for environment in ("test", "test", "live"):
        assert (await recipients("add", WALLET, "--environment", environment)).code == 0
        assert [row["environment"] for row in await rows(pool)] == [environment]
    refused = await recipients("add", WALLET, "--environment", "test")
    refused.assert_refused(str(WALLET), "is live", "recipients for-tests")
    assert [row["environment"] for row in await rows(pool)] == ["live"]


async def live_wallet(pool, user="shop"):
    await register_wallet(pool, address=str(WALLET), user_id=user, label=None, followed_from_slot=0)
    return Merchant(user, str(WALLET))


async def test_a_live_wallet_becomes_one_for_tests_once_and_live_again(recipients, pool):
    (await recipients("for-tests", WALLET)).assert_refused(str(WALLET), "recipients list")
    await live_wallet(pool)
    narrow = await recipients("for-tests", WALLET, COLUMNS="40")
    assert (narrow.code, narrow.out) == (0, f"{WALLET} is for tests from now on.\n")
    again = await recipients("for-tests", f" {WALLET} ", "--json")
    assert again.json == {"address": str(WALLET), "environment": "test", "is_moved": False}
    (event,) = await pool.fetch("SELECT subject, user_id, data FROM events WHERE type = 'recipient.for_tests'")
    assert (event["subject"], event["user_id"]) == (str(WALLET), "shop")
    assert event["data"] == {"from": "live", "to": "test"}
    assert [one["environment"] for one in (await recipients("list", "--json")).json] == ["test"]
    assert "for tests" in (await recipients("list")).out
    assert (await recipients("add", WALLET)).code == 0
    assert [row["environment"] for row in await rows(pool)] == ["live"]


async def pending(pool, merchant):
    await add_claim(pool, merchant, 5, status="pending")


async def honoured(pool, merchant):
    await add_claim(pool, merchant, 5)


async def honoured_of_a_former_owner(pool, merchant):
    await add_claim(pool, merchant, 5)
    await pool.execute(
        "INSERT INTO former_recipients (address, user_id, owned_until) SELECT address, user_id, now() FROM recipients"
    )
    await pool.execute("UPDATE recipients SET user_id = 'heir', owned_since = now()")


async def asked(pool, merchant):
    await pool.execute(
        "INSERT INTO nonces (nonce, user_id, recipient, mint, currency, amount, reference, expires_at)"
        " VALUES ('open', $1, $2, $3, 'USDC', 5, $2, now() + interval '1 hour')",
        merchant.user, merchant.wallet, str(USDC),
    )  # fmt: skip


async def asked_and_perhaps_paid_in_time(pool, merchant):
    await asked(pool, merchant)
    await pool.execute("UPDATE nonces SET expires_at = now() - interval '1 minute'")


async def settling(pool, merchant):
    await reserved(pool, merchant)


async def ordered(pool, merchant):
    await ordered_job(pool, merchant.wallet)


LIVE = {
    honoured: "honoured",
    honoured_of_a_former_owner: "honoured",
    pending: "pending",
    asked: "can still be paid",
    asked_and_perhaps_paid_in_time: "not recorded yet",
    settling: "x402",
    ordered: "jobs",
}


@pytest.mark.parametrize("depends", LIVE, ids=lambda one: one.__name__)
async def test_a_wallet_that_anything_live_depends_on_stays_live(recipients, pool, depends):
    await depends(pool, await live_wallet(pool))
    (await recipients("for-tests", WALLET)).assert_refused(str(WALLET), "stays live", LIVE[depends])
    assert [row["environment"] for row in await rows(pool)] == ["live"]
    assert await pool.fetchval("SELECT count(*) FROM events WHERE type = 'recipient.for_tests'") == 0


async def test_what_was_done_with_test_keys_or_is_over_keeps_no_wallet_live(recipients, pool):
    merchant = await live_wallet(pool)
    for status in ("finalized", "pending"):
        await add_claim(pool, merchant, 5, status=status, environment="test")
    await add_claim(pool, merchant, 5, status="failed")
    await asked(pool, merchant)
    await pool.execute("UPDATE nonces SET expires_at = now() - interval '2 days'")
    await ordered_job(pool, merchant.wallet)
    await pool.execute("UPDATE job_requests SET environment = 'test'")
    assert (await recipients("for-tests", WALLET)).code == 0
    assert [row["environment"] for row in await rows(pool)] == ["test"]


async def test_a_wallet_to_which_open_jobs_are_paid_goes_to_nobody_else(recipients, pool):
    await live_wallet(pool, "operations")
    job = await ordered_job(pool, str(WALLET))
    assert (await recipients("remove", WALLET)).code == 0
    (await recipients("add", WALLET, "--user", "heir")).assert_refused(str(WALLET), "--user operations", "have ended")
    assert (await recipients("add", WALLET, "--user", "operations")).code == 0
    assert (await recipients("remove", WALLET)).code == 0
    await pool.execute("UPDATE job_requests SET status = 'cancelled', ended_at = now() WHERE id = $1", job)
    assert (await recipients("add", WALLET, "--user", "heir")).code == 0
    assert [row["user_id"] for row in await rows(pool)] == ["heir"]


async def test_what_people_write_is_shown_as_it_is(recipients):
    await recipients("add", WALLET, "--user", "[/oops]", "--label", "[red]ö\u202e")
    listed = await recipients("list")
    assert (listed.code, listed.err) == (0, "")
    assert "[/oops]" in listed.out
    assert "[red]ö" in listed.out


async def test_an_empty_list_says_what_to_do_and_is_an_empty_list_for_scripts(recipients):
    assert "recipients add" in (await recipients("list")).out
    assert (await recipients("list", "--json")).json == []


@pytest.mark.parametrize(
    "address",
    [str(WALLET) + "1", "0x52908400098527886E0F7030069857D2E4169EE7"],
)
async def test_what_is_no_address_is_refused_before_anything_is_opened(home, address):
    done = await pay402("recipients", "add", address, home=home)
    done.assert_refused(repr(address), "is not a Solana address")
    assert list(home.iterdir()) == []


async def refusal_of(pool, url, address):
    """What `recipients add` says, without the time that a process of its own takes."""
    with pytest.raises(OperatorError) as raised:
        await register(pool, SolanaSettings(solana_rpc_url=url), str(address), user="shop")
    assert await rows(pool) == []
    return str(raised.value)


async def test_a_token_account_is_refused_as_a_wallet(recipients, pool, net):
    account = net.chain.faucet.fund_token(WALLET, USDC, 5)
    net.chain.tick(3)
    (await recipients("add", account)).assert_refused(f"{account} is a token account, not a wallet")
    assert await rows(pool) == []


async def test_what_is_no_wallet_is_refused_with_what_it_is(pool, net):
    account = net.chain.faucet.fund_token(WALLET, FEE_MINT, 5)
    net.chain.tick(3)
    for address, kind in [
        (account, "token account"),
        (USDC, "mint"),
        (FEE_MINT, "mint"),
        (TOKEN_PROGRAM, "program"),
        (TOKEN_2022_PROGRAM, "program"),
        ("1" * 32, "program"),
    ]:
        assert_sentence(await refusal_of(pool, net.rpc_url, address), naming=(f"{address} is a {kind}, not a wallet",))


async def test_an_unknown_network_is_refused_by_name(recipients):
    done = await recipients("add", WALLET, SOLANA_NETWORK="mainnet")
    done.assert_refused("SOLANA_NETWORK", "'mainnet'", "'mainnet-beta'")


async def test_a_node_that_does_not_answer_is_one_sentence(recipients, pool, closed_port):
    done = await recipients("add", WALLET, SOLANA_RPC_URL=f"http://127.0.0.1:{closed_port}/v2/hunter2?api-key=hunter3")
    done.assert_refused("127.0.0.1", "SOLANA_RPC_URL", hiding=("hunter2", "hunter3"))
    assert await rows(pool) == []


async def test_no_node_and_no_localnet_is_one_sentence(recipients):
    (await recipients("add", WALLET, SOLANA_RPC_URL="")).assert_refused("SOLANA_RPC_URL", "pay402 up")


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"rpc": 5, "ws": 5}', '{"rpc": "http://127.0.0.1:1"}', "\xff"])
def test_a_note_of_a_localnet_that_makes_no_sense_is_one_sentence(home, note):
    (home / "localnet.json").write_text(note, encoding="latin-1")
    with pytest.raises(OperatorError) as raised:
        solana_endpoints(SolanaSettings(home=home))
    assert_sentence(str(raised.value), naming=("SOLANA_RPC_URL", "pay402 up"))


async def test_a_note_of_a_localnet_that_has_died_says_to_start_it(recipients, home, closed_port):
    note = {"rpc": f"http://127.0.0.1:{closed_port}", "ws": f"ws://127.0.0.1:{closed_port}"}
    (home / "localnet.json").write_text(json.dumps(note))
    (await recipients("add", WALLET, SOLANA_RPC_URL="")).assert_refused("pay402 up")


async def test_a_node_that_answers_nothing_usable_is_one_sentence(recipients, pool, net):
    net.set_faults({"malformedAnswers": 1})
    (await recipients("add", WALLET)).assert_refused("127.0.0.1", "malformed", "SOLANA_RPC_URL")
    assert await rows(pool) == []


async def test_a_node_that_is_out_of_order_is_one_sentence(pool, net):
    net.set_faults({"serverErrors": 1})
    assert_sentence(await refusal_of(pool, net.rpc_url, WALLET), naming=("127.0.0.1", "503", "SOLANA_RPC_URL"))


async def test_a_node_that_stumbles_once_is_asked_again(recipients, pool, net):
    net.set_faults({"malformedAnswers": {"count": 1}, "serverErrors": {"count": 1}})
    assert (await recipients("add", WALLET)).code == 0
    assert len(await rows(pool)) == 1


@pytest.mark.parametrize(
    "result",
    [
        None,
        {"context": {"slot": "newest"}, "value": None},
        {"context": {"slot": 5}, "value": {"data": [], "owner": TOKEN_PROGRAM, "lamports": 1}},
        {"context": {"slot": 5}, "value": {"data": ["%%%", "base64"], "owner": TOKEN_PROGRAM, "lamports": 1}},
    ],
    ids=str,
)
async def test_an_answer_of_another_form_than_promised_is_one_sentence(pool, result):
    async def answer(request):
        question = await request.json()
        return web.json_response({"jsonrpc": "2.0", "id": question["id"], "result": result})

    async with serving(answer) as url:
        assert_sentence(await refusal_of(pool, url, WALLET), naming=("127.0.0.1", "malformed", "SOLANA_RPC_URL"))


async def test_a_server_that_is_no_node_is_one_sentence(pool):
    async def answer(_):
        return web.Response(text="<h1>It works!</h1>", content_type="text/html")

    async with serving(answer) as url:
        assert_sentence(await refusal_of(pool, url, WALLET), naming=("127.0.0.1", "malformed", "SOLANA_RPC_URL"))
