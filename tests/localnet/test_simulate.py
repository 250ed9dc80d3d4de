"""simulateTransaction answers as a node does. Source: Agave's JSON-RPC service."""

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.signature import Signature
from solders.transaction import VersionedTransaction
from spl.token.instructions import create_associated_token_account

from tests.localnet.conftest import encoded, refusal
from tests.support.wallets import USD, USDT, memo, signed
from tests.support.x402_payments import guard

BASE64 = {"encoding": "base64"}


async def simulated(wire, transaction, **config):
    return (await wire("simulateTransaction", encoded(transaction), {**BASE64, **config}))["value"]


@pytest.fixture
def recent(net):
    """A blockhash that every commitment knows."""
    net.chain.tick(8)
    return net.chain.blocks[2].hash


def unsigned(transaction):
    return VersionedTransaction.populate(transaction.message, [Signature.default()] * len(transaction.signatures))


async def test_what_has_landed_is_known_by_its_message_whatever_its_signatures_are(net, wire, street, recent):
    payment = street.payment(1 * USD, blockhash=recent)
    for one in (payment, unsigned(payment)):
        assert (await simulated(wire, one))["err"] is None
    net.chain.send(payment)
    for one in (payment, unsigned(payment)):
        assert (await simulated(wire, one, commitment="processed"))["err"] == "AlreadyProcessed"
        # An older state does not know of it yet.
        assert (await simulated(wire, one, commitment="finalized"))["err"] is None
    replaced = await simulated(wire, payment, commitment="processed", replaceRecentBlockhash=True)
    assert replaced["err"] is None
    net.chain.tick(8)
    assert (await simulated(wire, payment, commitment="finalized"))["err"] == "AlreadyProcessed"


async def test_what_was_abandoned_can_land_again(net, wire, street, recent):
    payment = street.payment(1 * USD, blockhash=recent)
    net.chain.send(payment)
    net.chain.fork(0, drop=[str(payment.signatures[0])])
    assert (await simulated(wire, payment, commitment="processed"))["err"] is None


async def test_a_blockhash_must_be_known_and_young(net, wire, street, recent):
    unknown = street.payment(1, blockhash=Hash.new_unique())
    refused = await simulated(wire, unknown, accounts={"addresses": [str(street.to_account)]})
    assert (refused["err"], refused["accounts"], refused["logs"]) == ("BlockhashNotFound", [None], [])
    replaced = await simulated(wire, unknown, replaceRecentBlockhash=True)
    assert replaced["err"] is None
    newest = net.chain.block(net.chain.slot("finalized"))
    assert replaced["replacementBlockhash"] == {
        "blockhash": str(newest.hash),
        "lastValidBlockHeight": newest.last_valid_height,
    }
    # One that is newer than the state that is asked is unknown to it.
    young = street.payment(1, blockhash=net.chain.blocks[-1].hash)
    assert (await simulated(wire, young, commitment="finalized"))["err"] == "BlockhashNotFound"
    assert (await simulated(wire, young, commitment="processed"))["err"] is None
    net.chain.tick(151)
    assert (await simulated(wire, young, commitment="processed"))["err"] == "BlockhashNotFound"


async def test_signatures_are_verified_where_that_is_asked(wire, street, recent):
    payment = street.payment(1, blockhash=recent)
    assert (await simulated(wire, payment, sigVerify=True))["err"] is None
    asked = {**BASE64, "sigVerify": True}
    assert (await refusal(wire("simulateTransaction", encoded(unsigned(payment)), asked))).code == -32003
    both = {**asked, "replaceRecentBlockhash": True}
    assert (await refusal(wire("simulateTransaction", encoded(payment), both))).code == -32602


async def test_accounts_are_shown_as_they_would_be(net, wire, street, recent):
    addresses = [str(street.to_account), str(street.from_account)]
    good = await simulated(wire, street.payment(5 * USD, blockhash=recent), accounts={"addresses": addresses})
    assert [one["data"][1] for one in good["accounts"]] == ["base64", "base64"]
    parsed = {"addresses": addresses, "encoding": "jsonParsed"}
    good = await simulated(wire, street.payment(5 * USD, blockhash=recent), accounts=parsed)
    amounts = [one["data"]["parsed"]["info"]["tokenAmount"]["amount"] for one in good["accounts"]]
    assert amounts == [str(1005 * USD), str(995 * USD)]
    bad = await simulated(wire, street.payment(5000 * USD, blockhash=recent), accounts=parsed)
    assert bad["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert bad["accounts"] == [None, None]
    for wrong in ({"addresses": addresses, "encoding": "base58"}, {"addresses": addresses * 9}):
        asked = {**BASE64, "accounts": wrong}
        payment = encoded(street.payment(1, blockhash=recent))
        assert (await refusal(wire("simulateTransaction", payment, asked))).code == -32602
    assert net.chain.true_token_balance(street.to_account) == 1000 * USD


async def test_inner_instructions_are_shown_parsed_where_that_is_asked(wire, street, recent):
    opening = create_associated_token_account(street.alice.pubkey(), street.bob.pubkey(), USDT)
    transaction = signed([opening], [street.alice], recent)
    assert (await simulated(wire, transaction))["innerInstructions"] is None
    (group,) = (await simulated(wire, transaction, innerInstructions=True))["innerInstructions"]
    assert group["index"] == 0
    programs = {one["programId"] for one in group["instructions"]}
    assert "11111111111111111111111111111111" in programs
    assert all(one["stackHeight"] == 2 for one in group["instructions"])


async def test_guards_of_a_wallet_run_by_a_stand_in_that_lets_everything_pass(net, wire, street, recent):
    payment = street.payment(1, memo("x"), guard(street.alice.pubkey()), guard(Keypair().pubkey()), blockhash=recent)
    assert (await simulated(wire, payment))["err"] is None
    assert net.chain.send(payment).err is None
    assert "Program L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95 success" in (
        net.chain.find(str(payment.signatures[0])).metadata.logs()
    )
