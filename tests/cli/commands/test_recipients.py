"""`pay402 recipients`: which wallets are followed, and what is refused."""

import json

import pytest
from aiohttp import web
from solders.keypair import Keypair

from chain.programs import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from cli.registration import register
from cli.system.localnet_address import solana_endpoints
from localnet.genesis import FEE_MINT
from localnet.payments import USDC
from runtime.errors import OperatorError
from runtime.settings import SolanaSettings
from tests.support.command_line import pay402
from tests.support.http_serving import serving
from tests.support.sentences import assert_sentence

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
    (await recipients("add", WALLET, "--environment", "test")).assert_refused(str(WALLET), "is live")
    assert [row["environment"] for row in await rows(pool)] == ["live"]


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
