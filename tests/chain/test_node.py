"""The questions we ask a node, and what its accounts are."""

import asyncio
import base64

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature
from spl.token.instructions import get_associated_token_address

from chain.accounts import AccountState, OwnedTokenAccount
from chain.decode import decode
from chain.fees import fee_rules
from chain.node import TRANSACTION_VERSION_MAX, Node
from chain.programs import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from chain.rpc import PermanentRpcError, RetryableRpcError, RpcLimits, RpcPool
from ledger.observation import Unexplained
from localnet.genesis import FEE_MINT
from tests.support import raw_instructions as raw
from tests.support.handwritten_transactions import address
from tests.support.scripted_nodes import Reply, scripted
from tests.support.token_economy import PYUSD, SPL, SPL_2022, USDC, WSOL, World, expected_fee
from tests.support.wallets import USD, Town

QUICK = RpcLimits(answer_seconds=1.0, attempts=2, call_seconds=5.0)
STRICT = Reply(error={"code": -32602, "message": "Invalid params: unknown version"})
TOO_LOW = Reply(error={"code": -32015, "message": "Transaction version (1) is not supported"})


def versions(node):
    return [question["params"][1]["maxSupportedTransactionVersion"] for question in node.asked]


# --- transactions


async def test_the_highest_version_is_asked_for():
    async with scripted([Reply(None)]) as (node,), RpcPool([node.url], QUICK) as pool:
        assert await Node(pool).transaction("sig") is None
    assert versions(node) == [TRANSACTION_VERSION_MAX]
    assert node.asked[0]["params"] == [
        "sig",
        {"commitment": "confirmed", "encoding": "base64", "maxSupportedTransactionVersion": 1},
    ]


async def test_a_node_that_refuses_a_version_it_never_heard_of_is_asked_for_the_one_below_from_then_on():
    async with scripted([STRICT, Reply(None)]) as (node,), RpcPool([node.url], QUICK) as pool:
        asking = Node(pool)
        assert [await asking.transaction("sig") for _ in range(3)] == [None] * 3
        assert asking.transaction_version == 0
    assert versions(node) == [1, 0, 0, 0]


async def test_a_version_that_proves_too_low_is_raised_again():
    """Behind one address there may be an old node today and a new one tomorrow."""
    async with scripted([STRICT, Reply(None), TOO_LOW, Reply(None)]) as (node,), RpcPool([node.url], QUICK) as pool:
        asking = Node(pool)
        assert [await asking.transaction("sig") for _ in range(3)] == [None] * 3
        assert asking.transaction_version == 1
    assert versions(node) == [1, 0, 0, 1, 1]


async def test_a_question_that_no_version_mends_is_an_error_and_changes_nothing():
    async with scripted([STRICT]) as (node,), RpcPool([node.url], QUICK) as pool:
        asking = Node(pool)
        for _ in range(2):
            with pytest.raises(PermanentRpcError):
                await asking.transaction("no signature")
        assert asking.transaction_version == 1
    assert versions(node) == [1, 0, 1, 0]


async def test_another_permanent_error_is_not_taken_for_a_matter_of_versions():
    gone = Reply(error={"code": -32601, "message": "Method not found"})
    async with scripted([gone]) as (node,), RpcPool([node.url], QUICK) as pool:
        with pytest.raises(PermanentRpcError):
            await Node(pool).transaction("sig")
    assert versions(node) == [1]


# --- accounts


@pytest.fixture(scope="module")
def world():
    return World()


def state(world, key):
    account = world.bank.get_account(key)
    return AccountState(1, str(account.owner), account.lamports, bytes(account.data), account.executable)


def test_token_accounts_of_both_programs_are_known_from_wallets_and_mints(world):
    owner = world.wallets[0].pubkey()
    for mint, program in ((USDC, SPL), (WSOL, SPL), (PYUSD, SPL_2022), (FEE_MINT, SPL_2022)):
        account = state(world, get_associated_token_address(owner, mint, program))
        assert account.is_token_account, mint
        assert account.balance_of(is_wallet=False) == 1_000_000_000
        assert not state(world, mint).is_token_account, mint
        assert state(world, mint).balance_of(is_wallet=False) == 0
    wallet = state(world, owner)
    assert not wallet.is_token_account
    assert wallet.balance_of(is_wallet=True) == wallet.lamports > 0
    assert len(state(world, world.account(0, FEE_MINT)).data) > 165
    assert not state(world, SPL).is_token_account


def test_a_multisig_is_no_token_account_whatever_its_bytes_say(world):
    multisig = Keypair()
    payer = world.wallets[0].pubkey()
    found = raw.build(SPL, b"\x13\x01", (multisig.pubkey(),), (), (payer, payer))
    world.run(raw.create_account(payer, multisig.pubkey(), 5_000_000, space=355), found, signers=[multisig])
    assert not state(world, multisig.pubkey()).is_token_account
    for program in (TOKEN_PROGRAM, TOKEN_2022_PROGRAM):
        assert not AccountState(1, program, 1, b"\x02" * 355, executable=False).is_token_account


@pytest.mark.parametrize(
    ("program", "data", "expected"),
    [
        (TOKEN_PROGRAM, bytes(165), True),
        (TOKEN_PROGRAM, bytes(164), False),
        (TOKEN_PROGRAM, bytes(82), False),
        (TOKEN_PROGRAM, b"", False),
        (TOKEN_2022_PROGRAM, bytes(165), True),
        (TOKEN_2022_PROGRAM, bytes(165) + b"\x02", True),
        (TOKEN_2022_PROGRAM, bytes(165) + b"\x02" + bytes(200), True),
        (TOKEN_2022_PROGRAM, bytes(165) + b"\x01" + bytes(200), False),
        (TOKEN_2022_PROGRAM, bytes(165) + b"\x00", False),
        (SYSTEM_PROGRAM, bytes(165), False),
    ],
)
def test_what_is_a_token_account(program, data, expected):
    assert AccountState(1, program, 1, data, executable=False).is_token_account is expected


async def test_token_accounts_are_listed_under_both_programs(net):
    wallet = Keypair().pubkey()
    funded = {
        str(net.chain.faucet.fund_token(wallet, mint, amount)): (str(mint), amount)
        for mint, amount in ((USDC, 5), (WSOL, 6), (PYUSD, 7), (FEE_MINT, 8))
    }
    async with RpcPool([net.rpc_url]) as pool:
        node = Node(pool)
        await _confirmed(node, net.chain.open.slot)
        listed = await node.token_accounts(str(wallet))
        assert {one.address: (one.mint, one.balance) for one in listed} == funded
        assert sorted(one.program for one in listed) == sorted(
            [TOKEN_PROGRAM, TOKEN_PROGRAM, *[TOKEN_2022_PROGRAM] * 2]
        )
        assert all(isinstance(one, OwnedTokenAccount) for one in listed)
        _, found = await node.accounts([one.address for one in listed] + [address("nobody")], commitment="confirmed")
        assert [account.balance_of(is_wallet=False) for account in found[:-1]] == [one.balance for one in listed]
        assert found[-1] is None
        assert (await node.account(address("nobody")))[1] is None


# --- history and progress


async def test_the_history_of_an_account_comes_newest_first_in_pages_failed_ones_included(net):
    town = Town(net.chain)
    sent = [town.pay(amount) for amount in (USD, 2 * USD, 10**9 * USD, 3 * USD)]
    account = str(town.to_account)
    async with RpcPool([net.rpc_url], QUICK) as pool:
        node = Node(pool)
        await _confirmed(node, sent[-1].slot)
        page = await node.signatures(account)
        newest = [executed.signature for executed in reversed(sent)]
        assert [info.signature for info in page][:4] == newest
        assert [info.err is None for info in page][:4] == [True, False, True, True]
        assert {info.slot for info in page[:4]} == {executed.slot for executed in sent}
        assert [info.signature for info in await node.signatures(account, limit=2)] == newest[:2]
        older = await node.signatures(account, before=newest[1], limit=2, min_context_slot=sent[0].slot)
        assert [info.signature for info in older] == newest[2:]
        with pytest.raises(RetryableRpcError) as raised:
            await node.signatures(account, min_context_slot=10**9)
        assert raised.value.code == -32016


async def test_a_transaction_comes_as_it_can_be_decoded(net):
    town = Town(net.chain)
    sent = town.pay(7 * USD)
    async with RpcPool([net.rpc_url], QUICK) as pool:
        node = Node(pool)
        assert await node.transaction(sent.signature, commitment="finalized") is None
        await _confirmed(node, sent.slot)
        seen = decode(await node.transaction(sent.signature))
        slot, statuses = await node.signature_statuses([sent.signature, str(Signature.new_unique())])
    assert (seen.signature, seen.slot, [m.amount for m in seen.transfers]) == (sent.signature, sent.slot, [7 * USD])
    assert slot >= sent.slot
    assert (statuses[0].slot, statuses[0].err, statuses[1]) == (sent.slot, None, None)


async def test_the_progress_of_the_chain(net):
    async with RpcPool([net.rpc_url], QUICK) as pool:
        node = Node(pool)
        await _confirmed(node, 20)
        finalized = await node.slot("finalized")
        assert finalized < await node.slot()
        assert await node.block_height("finalized") < finalized, "skipped slots have no height"
        assert await node.epoch() == 0
        assert await node.first_available_block() == 0
        slots = await node.blocks(0, finalized)
        assert slots[:2] == [0, 5], "the first slots are skipped"
        assert await node.block_time(slots[-1]) == net.chain.block(slots[-1]).time
        with pytest.raises(RetryableRpcError):
            await node.block_time(3)


async def _confirmed(node, slot):
    async with asyncio.timeout(10):
        while await node.slot() <= slot:  # noqa: ASYNC110 - it becomes true on the node
            await asyncio.sleep(0.01)


async def test_a_node_that_does_not_know_the_minimum_slot_is_asked_without_it_from_then_on():
    async with scripted([STRICT, Reply([])]) as (node,), RpcPool([node.url], QUICK) as pool:
        asking = Node(pool)
        for _ in range(2):
            assert await asking.signatures(address("a"), before="sig", min_context_slot=7) == []
    assert [sorted(question["params"][1]) for question in node.asked] == [
        ["before", "commitment", "limit", "minContextSlot"],
        ["before", "commitment", "limit"],
        ["before", "commitment", "limit"],
    ]


async def test_an_address_that_is_refused_does_not_end_asking_for_a_minimum_slot():
    """Without it a node that lags behind could answer, and what it has not seen would never be healed."""
    async with scripted([STRICT, STRICT, Reply([])]) as (node,), RpcPool([node.url], QUICK) as pool:
        asking = Node(pool)
        with pytest.raises(PermanentRpcError):
            await asking.signatures("no address", min_context_slot=7)
        await asking.signatures(address("a"), min_context_slot=7)
    assert ["minContextSlot" in question["params"][1] for question in node.asked] == [True, False, True]


async def test_a_cluster_without_token_2022_has_accounts_of_the_other_program_only():
    none = Reply({"context": {"slot": 5}, "value": []})
    async with scripted([none, STRICT]) as (node,), RpcPool([node.url], QUICK) as pool:
        assert await Node(pool).token_accounts(address("wallet")) == []
    assert [question["params"][1]["programId"] for question in node.asked] == [TOKEN_PROGRAM, TOKEN_2022_PROGRAM]


@pytest.mark.parametrize("script", [[STRICT], [Reply({"context": {"slot": 5}, "value": []}), "not indexed"]])
async def test_a_refusal_that_would_hide_accounts_is_an_error(script):
    not_indexed = Reply(error={"code": -32010, "message": "excluded from account secondary indexes"})
    async with scripted([not_indexed if reply == "not indexed" else reply for reply in script]) as (node,):
        async with RpcPool([node.url], QUICK) as pool:
            with pytest.raises(PermanentRpcError):
                await Node(pool).token_accounts(address("wallet"))
        assert len(node.asked) == len(script)


# --- the fees of a mint


def fee_mint_data(world, older=(0, 0, 0), newer=(0, 0, 0)):
    """The fee mint's data with other fees: first epoch, maximum, basis points."""
    data = bytearray(state(world, FEE_MINT).data)
    at = data.index(b"\x01\x00\x6c\x00", 166) + 4 + 72
    for epoch, maximum, points in (older, newer):
        data[at : at + 18] = epoch.to_bytes(8, "little") + maximum.to_bytes(8, "little") + points.to_bytes(2, "little")
        at += 18
    return bytes(data)


def a_mint(data, program=TOKEN_2022_PROGRAM):
    return AccountState(slot=1, program=program, lamports=1, data=data, executable=False)


def test_the_fee_of_a_mint_is_read_from_its_configuration(world):
    rule = state(world, FEE_MINT).transfer_fee().of
    amounts = [0, 1, 99, 100, 101, 12_345, 499_999_900, 500_000_000, 500_000_100, 2**63]
    assert [rule(amount) for amount in amounts] == [expected_fee(FEE_MINT, amount) for amount in amounts]
    assert [rule(amount) for amount in (0, 1, 101, 2**63)] == [0, 1, 2, 5_000_000]


def test_a_fee_that_comes_with_a_later_epoch_is_not_charged_before(world):
    mint = a_mint(fee_mint_data(world, older=(3, 10**9, 50), newer=(7, 10**9, 300)))
    amount = 10_000
    assert [mint.transfer_fee(epoch).of(amount) for epoch in (3, 6, 7, 8, None)] == [50, 50, 300, 300, 300]


def test_data_without_a_fee_has_no_rule(world):
    whole = state(world, FEE_MINT).data
    for data in (b"", bytes(82), bytes(166), state(world, USDC).data, bytes(166) + b"\x03\x00\x20\x00" + bytes(32)):
        assert a_mint(data).transfer_fee() is None
    for length in range(166, whole.index(b"\x01\x00\x6c\x00", 166) + 4 + 108):
        assert a_mint(whole[:length]).transfer_fee() is None, "cut short"
    other = bytes(166) + b"\x0e\x00\x02\x00??" + whole[166:]
    assert a_mint(whole, program=TOKEN_PROGRAM).transfer_fee() is None, "the older program has no extensions"
    assert a_mint(other).transfer_fee().of(100) == 1, "whatever extension comes before"


async def test_the_rules_of_the_mints_in_question_are_fetched(net):
    findings = [
        Unexplained(address("a"), str(mint) if mint else None, -1, "several transfers with an unknown fee")
        for mint in (FEE_MINT, FEE_MINT, USDC, Pubkey.default(), Keypair().pubkey(), None)
    ]
    async with RpcPool([net.rpc_url]) as pool:
        rules = await fee_rules(Node(pool), findings)
    assert list(rules) == [str(FEE_MINT)]
    assert rules[str(FEE_MINT)](12_345) == 124


async def test_the_rule_in_force_is_that_of_the_current_epoch(world):
    data = base64.b64encode(fee_mint_data(world, older=(0, 10**9, 50), newer=(900, 10**9, 300))).decode()
    account = {"data": [data, "base64"], "owner": TOKEN_2022_PROGRAM, "lamports": 1}
    script = [
        Reply({"context": {"slot": 5}, "value": account}),
        Reply({"epoch": 899, "slotIndex": 3}),
        Reply({"context": {"slot": 5}, "value": account}),
        Reply({"epoch": 900, "slotIndex": 3}),
    ]
    async with scripted(script) as (node,), RpcPool([node.url], QUICK) as pool:
        finding = Unexplained(address("a"), str(FEE_MINT), -1, "")
        charged = [(await fee_rules(Node(pool), [finding]))[str(FEE_MINT)](10_000) for _ in range(2)]
    assert charged == [50, 300]
    assert node.methods == ["getAccountInfo", "getEpochInfo"] * 2
