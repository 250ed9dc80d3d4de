"""Transactions written by hand, for what LiteSVM cannot run: programs that call others, or move lamports directly.

A handwritten transaction says what a node would report: keys, instructions with those they called, and balances before
and after. Accounts go by names; every name has its address.
"""

import hashlib
from dataclasses import dataclass, field

from solders.pubkey import Pubkey

from chain.base58 import b58decode, b58encode
from chain.decode import decode
from chain.programs import MEMO_PROGRAM, SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM, WRAPPED_SOL_2022_MINT
from ledger.observation import Kind
from ledger.tokens import WRAPPED_SOL_MINT

RENT = 2_039_280
FEE = 5_000
_PROGRAMS = {
    "spl": TOKEN_PROGRAM,
    "2022": TOKEN_2022_PROGRAM,
    "system": SYSTEM_PROGRAM,
    "memo": MEMO_PROGRAM,
    "wsol": WRAPPED_SOL_MINT,
    "wsol2022": WRAPPED_SOL_2022_MINT,
}


_NAMES = {known: name for name, known in _PROGRAMS.items()}


def address(name: str) -> str:
    """The address that goes by `name`."""
    known = _PROGRAMS.get(name) or str(Pubkey(hashlib.sha256(name.encode()).digest()))
    _NAMES[known] = name
    return known


def u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def key(name: str) -> bytes:
    return b58decode(address(name)).rjust(32, b"\0")


@dataclass(frozen=True)
class Call:
    """An instruction: a program, accounts by name, data; `height` is 2 for what an outer instruction calls."""

    program: str
    accounts: tuple[str, ...]
    data: bytes
    height: int = 2


def token(program, data, *accounts) -> Call:
    return Call(program, accounts, bytes(data))


def transfer(source, destination, amount, *extra, owner="owner", program="spl") -> Call:
    return token(program, b"\x03" + u64(amount), source, destination, owner, *extra)


def transfer_checked(source, mint, destination, amount, *extra, owner="owner", program="2022") -> Call:
    return token(program, b"\x0c" + u64(amount) + b"\x06", source, mint, destination, owner, *extra)


def transfer_with_fee(source, mint, destination, amount, fee, *extra, owner="owner") -> Call:
    data = b"\x1a\x01" + u64(amount) + b"\x06" + u64(fee)
    return token("2022", data, source, mint, destination, owner, *extra)


def initialize(account, mint, owner, program="spl") -> Call:
    return token(program, b"\x12" + key(owner), account, mint)


def close(account, destination, owner="owner", program="spl") -> Call:
    return token(program, b"\x09", account, destination, owner)


def sync(account, program="spl") -> Call:
    return token(program, b"\x11", account)


def unwrap(account, destination, amount=None, owner="owner", program="spl") -> Call:
    data = b"\x2d\x00" if amount is None else b"\x2d\x01" + u64(amount)
    return token(program, data, account, destination, owner)


def burn(account, mint, amount, owner="owner", program="spl") -> Call:
    return token(program, b"\x08" + u64(amount), account, mint, owner)


def mint_to(mint, account, amount, owner="owner", program="spl") -> Call:
    return token(program, b"\x07" + u64(amount), mint, account, owner)


def withdraw_withheld(mint, account, *sources) -> Call:
    return token("2022", bytes([26, 3, len(sources)]), mint, account, "authority", *sources)


def batch(*parts, program="spl") -> Call:
    data = b"\xff" + b"".join(bytes([len(part.accounts), len(part.data)]) + part.data for part in parts)
    return Call(program, tuple(name for part in parts for name in part.accounts), data)


def pay(source, destination, lamports, *extra) -> Call:
    return Call("system", (source, destination, *extra), (2).to_bytes(4, "little") + u64(lamports))


def create(payer, account, lamports, space=165, program="spl") -> Call:
    data = (0).to_bytes(4, "little") + u64(lamports) + u64(space) + key(program)
    return Call("system", (payer, account), data)


def create_with_seed(payer, account, lamports, seed="seed", space=165, program="spl") -> Call:
    data = (3).to_bytes(4, "little") + key(payer) + u64(len(seed)) + seed.encode() + u64(lamports) + u64(space)
    return Call("system", (payer, account, payer), data + key(program))


def memo(text: bytes, program="memo") -> Call:
    return Call(program, (), text)


@dataclass
class _Token:
    mint: str
    owners: tuple[str, str]
    pre: int | None
    post: int | None
    program: str


@dataclass
class Handwritten:
    """One transaction; `payer` signs and pays the fee, `references` are read-only, the rest is written."""

    payer: str = "payer"
    error: object = None
    references: tuple[str, ...] = ()
    loaded_writable: tuple[str, ...] = ()
    loaded_readonly: tuple[str, ...] = ()
    outer: list[Call] = field(default_factory=list)
    inner: dict[int, list[Call]] = field(default_factory=dict)
    tokens: dict[str, _Token] = field(default_factory=dict)
    lamports: dict[str, tuple[int, int]] = field(default_factory=dict)

    def account(
        self, name, mint, pre, post, *, owner=None, program="spl", reserve=RENT, unsynced=(0, 0)
    ) -> "Handwritten":
        """A token account with its balances (`None`: it does not exist); `owner` may be a pair, before and after.

        The lamports of a wrapped-SOL account follow from its balance, `reserve` and what is `unsynced`.
        """
        owners = owner if isinstance(owner, tuple) else (owner or f"{name}'s owner",) * 2
        self.tokens[name] = _Token(mint, owners, pre, post, program)
        wrapped = mint.startswith("wsol")
        reserves = reserve if isinstance(reserve, tuple) else (reserve, reserve)
        self.lamports.setdefault(
            name,
            tuple(
                0 if amount is None else reserves[side] + (amount + unsynced[side] if wrapped else 0)
                for side, amount in enumerate((pre, post))
            ),
        )
        return self

    def holds(self, name, pre, post) -> "Handwritten":
        """The lamports of an account before and after."""
        self.lamports[name] = (pre, post)
        return self

    def does(self, call: Call, *called: Call) -> "Handwritten":
        """An outer instruction, and those that it called in order of appearance."""
        if called:
            self.inner[len(self.outer)] = list(called)
        self.outer.append(call)
        return self

    def calls(self, *called: Call) -> "Handwritten":
        """A program of no interest that calls `called`."""
        return self.does(Call("router", ("payer",), b"\x01"), *called)

    def keys(self) -> tuple[list[str], int]:
        """The names of all keys in the order of their indexes, and how many are static."""
        calls = [*self.outer, *(call for group in self.inner.values() for call in group)]
        loaded = (*self.loaded_writable, *self.loaded_readonly)
        named = dict.fromkeys([self.payer, *self.lamports, *self.tokens])
        named.update(dict.fromkeys(name for call in calls for name in (*call.accounts, call.program)))
        static = [name for name in named if name not in loaded and name not in self.references]
        return [*static, *self.references, *loaded], len(static) + len(self.references)

    def result(self) -> dict:
        """What `getTransaction` answers in `json` encoding."""
        names, static = self.keys()
        index = {name: at for at, name in enumerate(names)}
        lamports = {self.payer: (10**9, 10**9 - FEE), **self.lamports}
        held = [lamports.get(name, (0, 0)) for name in names]

        def instruction(call, height):
            return {
                "programIdIndex": index[call.program],
                "accounts": [index[name] for name in call.accounts],
                "data": b58encode(call.data),
                "stackHeight": height,
            }

        def balances(side):
            return [
                {
                    "accountIndex": index[name],
                    "mint": address(held.mint),
                    "owner": address(held.owners[side]),
                    "programId": address(held.program),
                    "uiTokenAmount": {"amount": str(amount), "decimals": 6, "uiAmount": None, "uiAmountString": "?"},
                }
                for name, held in self.tokens.items()
                if (amount := (held.pre, held.post)[side]) is not None
            ]

        keys = [address(name) for name in names]
        return {
            "slot": 7,
            "blockTime": 1_700_000_000,
            "version": 0,
            "transaction": {
                "signatures": [b58encode(hashlib.sha512(repr(self).encode()).digest())],
                "message": {
                    "accountKeys": keys[:static],
                    "header": {
                        "numRequiredSignatures": 1,
                        "numReadonlySignedAccounts": 0,
                        "numReadonlyUnsignedAccounts": len(self.references),
                    },
                    "instructions": [instruction(call, 1) for call in self.outer],
                    "recentBlockhash": address("blockhash"),
                },
            },
            "meta": {
                "err": self.error,
                "fee": FEE,
                "innerInstructions": [
                    {"index": at, "instructions": [instruction(call, call.height) for call in group]}
                    for at, group in self.inner.items()
                ],
                "preBalances": [before for before, _ in held],
                "postBalances": [after for _, after in held],
                "preTokenBalances": balances(0),
                "postTokenBalances": balances(1),
                "loadedAddresses": {
                    "writable": [address(name) for name in self.loaded_writable],
                    "readonly": [address(name) for name in self.loaded_readonly],
                },
                "logMessages": None,
            },
        }

    def decoded(self, **options):
        return decode(self.result(), **options)


def name_of(known: str | None) -> str | None:
    """The name of an address that a handwritten transaction used."""
    return known and _NAMES[known]


def moves(observation) -> list[tuple]:
    """The movements by the names of their accounts: path, kind, source, destination, amount."""
    return [(m.path, m.kind.value, name_of(m.source), name_of(m.destination), m.amount) for m in observation.movements]


def findings(observation) -> list[tuple]:
    """What is unexplained: account, difference, reason."""
    return [(name_of(finding.account), finding.difference, finding.reason) for finding in observation.unexplained]


def exchange(**ends) -> Handwritten:
    """Two accounts of one mint, a and b, with their balances as (before, after)."""
    sheet = Handwritten()
    for name, (pre, post) in ends.items():
        sheet.account(name, "gold", pre, post)
    return sheet


def wrapped(seen):
    """The movements of wrapped SOL: kind and amount."""
    return [(m.kind, m.amount) for m in seen.movements if m.kind is not Kind.NATIVE_TRANSFER]
