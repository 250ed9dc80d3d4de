"""The chain of a node in another process, as the reckoning reads it: transactions with their balances, one by one."""

from dataclasses import dataclass
from typing import Any

from solders.pubkey import Pubkey

from chain.rpc import RpcPool

_PAGE = 1000
_JSON = {"encoding": "json", "commitment": "confirmed", "maxSupportedTransactionVersion": 0}


@dataclass(frozen=True)
class Balance:
    """What one token account held."""

    owner: str
    mint: str
    amount: int


@dataclass(frozen=True)
class Landed:
    """A transaction with the balances before and after it."""

    signature: str
    err: Any
    fee: int
    keys: list[str]
    pre_balances: list[int]
    post_balances: list[int]
    pre_token_balances: list[Balance]
    post_token_balances: list[Balance]


@dataclass(frozen=True)
class Lamports:
    """An account of which only the lamports are known."""

    lamports: int


@dataclass(frozen=True)
class ChainRead:
    """What was read: some transactions by signature, and the history and the balance of one wallet."""

    transactions: dict[str, Landed]
    of_wallet: list[str]
    lamports: int

    def find(self, signature: str) -> Landed | None:
        return self.transactions.get(signature)

    def history(self, _wallet: Pubkey) -> list[Landed]:
        return [self.transactions[signature] for signature in self.of_wallet]

    def account(self, _wallet: Pubkey) -> Lamports:
        return Lamports(self.lamports)


async def read_chain(rpc: RpcPool, signatures: set[str], wallet: str) -> ChainRead:
    """Read `signatures` and everything that `wallet` took part in."""
    history: list[str] = []
    while True:
        before = {"before": history[-1]} if history else {}
        page = await rpc.call("getSignaturesForAddress", [wallet, {"commitment": "confirmed", **before}], Any)
        history += [line["signature"] for line in page]
        if len(page) < _PAGE:
            break
    answer = await rpc.call("getBalance", [wallet, {"commitment": "confirmed"}], Any)
    found = {signature: await _landed(rpc, signature) for signature in {*signatures, *history}}
    known = {signature: landed for signature, landed in found.items() if landed is not None}
    return ChainRead(known, history[::-1], answer["value"])


async def _landed(rpc: RpcPool, signature: str) -> Landed | None:
    answer = await rpc.call("getTransaction", [signature, _JSON], Any)
    if answer is None:
        return None
    meta, loaded = answer["meta"], answer["meta"].get("loadedAddresses") or {}
    keys = [*answer["transaction"]["message"]["accountKeys"], *loaded.get("writable", ()), *loaded.get("readonly", ())]
    return Landed(
        signature, meta["err"], meta["fee"], keys, meta["preBalances"], meta["postBalances"],
        _balances(meta["preTokenBalances"]), _balances(meta["postTokenBalances"]),
    )  # fmt: skip


def _balances(listed: list[dict[str, Any]]) -> list[Balance]:
    return [Balance(one["owner"], one["mint"], int(one["uiTokenAmount"]["amount"])) for one in listed]
