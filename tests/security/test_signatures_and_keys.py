"""What makes a signature somebody's and a key good: true by construction, which no stopwatch could show as well."""

import ast
import hashlib
import inspect
import re

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from api.access import key_ring as keys
from api.access.key_ring import KeyRing, hash_key, make_key
from ledger.recipients import registration_text
from tests.support.ledger_rows import new_signature
from tests.support.source_tree import ROOT

# The order of ed25519's group, and points that any message can be signed for without a key.
ORDER = 2**252 + 27742317777372353535851937790883648493
IDENTITY = bytes([1]) + bytes(31)
SMALL = [
    IDENTITY,
    bytes(32),
    bytes(31) + b"\x80",
    b"\xec" + b"\xff" * 30 + b"\x7f",
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
]


async def test_nobody_signs_for_a_key_that_is_none(vendor):
    """Points of small order accept made-up signatures wherever they are not asked for; a payer must not be one."""
    for point in SMALL:
        payer = str(Pubkey(point))
        for first in SMALL:
            forged = str(Signature(first + bytes(32)))
            proof = {**vendor.proof(await vendor.paid()), "payer": payer, "signature": forged}
            assert (await vendor.client.verify(proof)).code == "INVALID_SIGNATURE"
            order = {"address": payer, "signature": forged}
            assert (await vendor.client.post("/recipients", order)).status in {400, 403}


async def test_a_signature_in_another_form_is_none(vendor):
    """S and S + L are the same number to a lax reader: one signature, two texts."""
    proof = vendor.proof(await vendor.paid())
    raw = bytes(Signature.from_string(proof["signature"]))
    scalar = int.from_bytes(raw[32:], "little") + ORDER
    bent = str(Signature(raw[:32] + scalar.to_bytes(32, "little")))
    assert (await vendor.client.verify({**proof, "signature": bent})).code == "INVALID_SIGNATURE"
    assert (await vendor.client.verify(proof)).code == "VALID"


async def test_the_signature_that_registers_a_wallet_proves_no_payment(vendor):
    """And nobody is asked for a nonce whose signature would give their wallet away."""
    text = registration_text(str(vendor.buyer.pubkey()), "somebody")
    proof = vendor.proof(await vendor.paid(), nonce=text)
    assert (await vendor.client.verify(proof)).code == "VALIDATION_ERROR"
    # Nor the other way round: what was signed for a payment registers nothing.
    order = {"address": str(vendor.buyer.pubkey()), "signature": vendor.proof(new_signature())["signature"]}
    assert (await vendor.client.post("/recipients", order)).code == "FORBIDDEN"


async def test_a_signature_over_one_thing_is_good_for_no_other(vendor):
    proof = vendor.proof(await vendor.paid())
    stranger = Keypair()
    for change in (
        {"nonce": proof["nonce"] + "0"},
        {"nonce": proof["nonce"].upper()},
        {"payer": str(stranger.pubkey())},
        {"signature": str(stranger.sign_message(proof["nonce"].encode()))},
        {"signature": proof["transactionId"]},
    ):
        assert (await vendor.client.verify({**proof, **change})).code == "INVALID_SIGNATURE", change
    assert (await vendor.client.verify(proof)).code == "VALID"


async def test_the_database_is_asked_for_a_hash_and_never_for_a_key(vendor, monkeypatch):
    """So the time of a look-up tells of the hash, which nobody can steer without knowing the key."""
    asked, find = [], KeyRing._find

    async def spied(self, name):
        asked.append(name)
        return await find(self, name)

    monkeypatch.setattr(KeyRing, "_find", spied)
    near = vendor.client.key[:-1] + ("0" if vendor.client.key[-1] != "0" else "1")
    keys = (vendor.client.key, near, vendor.client.key[:-1], "sk_live_")
    for key in keys:
        await vendor.api.holding(key).get("/recipients")
    assert asked == [
        hashlib.sha256(key.encode()).hexdigest() for key in (vendor.client.key, near, near[:-1], "sk_live_")
    ]
    # Keys that differ in one letter have nothing in common where they are looked up.
    for one in asked[1:]:
        assert sum(a == b for a, b in zip(asked[0], one, strict=True)) < 20


async def test_what_was_found_is_compared_in_constant_time_and_decides(vendor, monkeypatch):
    """A database that finds the wrong row lets nobody in."""
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    assert (await vendor.client.get("/recipients")).status == 200
    assert compared == [(hash_key(vendor.client.key),) * 2]
    other = make_key("live").key
    stored = await KeyRing._find.__get__(_ring(vendor))(hash_key(vendor.client.key))
    monkeypatch.setattr(KeyRing, "_find", lambda *_: _given(stored))
    assert (await vendor.api.holding(other).get("/recipients")).status == 401


def _ring(vendor):
    from api.metrics import ApiMetrics
    from runtime.metrics import new_registry

    return KeyRing(vendor.pool, ApiMetrics(new_registry()))


async def _given(value):
    return value


def secrets_compared(tree):
    """The lines that compare something secret with `==`, `!=` or `in`, which stop at the first letter that differs."""
    secret = re.compile(r"secret|token|password|hashed|credential|\.hash\b|tag\b", re.IGNORECASE)
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
            sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
            if any(secret.search(side) for side in sides) and not any(side in {"None", "''"} for side in sides):
                yield node.lineno


@pytest.mark.parametrize(
    ("code", "guilty"),
    [
        ("token == sent", True),
        ("settings.jwt_secret.get_secret_value() != x", True),
        ("stored.hash == hashed", True),
        ("hmac.compare_digest(a, token)", False),
        ("user_id == self.user_id", False),
    ],
)
def test_a_comparison_of_secrets_would_be_found(code, guilty):
    assert bool(list(secrets_compared(ast.parse(code)))) == guilty


def test_no_secret_is_compared_letter_by_letter():
    found = {}
    for path in (ROOT / "api").rglob("*.py"):
        # There, "token" is a token of Solana.
        if path.name in {"tokens.py", "proof.py", "simulation.py", "search.py"}:
            continue
        if lines := list(secrets_compared(ast.parse(path.read_text(encoding="utf-8")))):
            found[path.name] = lines
    assert found == {}
    assert "compare_digest" in inspect.getsource(KeyRing.by_key)


def test_a_key_has_256_bits_that_nobody_can_guess():
    made = [make_key("live") for _ in range(1000)]
    assert len({one.key for one in made}) == len({one.prefix for one in made}) == 1000
    for one in made:
        behind = one.key.removeprefix(one.prefix)
        assert re.fullmatch(r"[0-9a-f]{64}", behind)
        assert behind not in one.hash
