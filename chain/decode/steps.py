"""What single instructions of the token and system programs mean.

Sources: the instruction enums of SPL Token (p-token), Token-2022 and the system program. Layouts: a token
instruction starts with one byte that names it; amounts are u64, little-endian. A system instruction starts
with a u32, little-endian.
"""

import struct
from collections.abc import Iterator, Sequence

from msgspec import Struct
from solders.pubkey import Pubkey

from chain.programs import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM
from ledger.observation import Kind

_U64 = struct.Struct("<Q")
_U32 = struct.Struct("<I")

BATCH = 255
_BATCH_BYTE = bytes([BATCH])

# Instructions that leave every balance as it was: initialize mints and multisigs, delegate, freeze, size,
# settings of Token-2022 extensions. Moving a token account's excess lamports (38) touches no wrapped SOL.
_NEUTRAL = frozenset({0, 2, 4, 5, 10, 11, 13, *range(19, 26), *range(28, 37), *range(38, 42), 43, 44})
_CONFIDENTIAL = {
    (27, 5): "a deposit into its confidential balance",
    (27, 6): "a withdrawal from its confidential balance",
}


class Call(Struct, frozen=True, gc=False):
    """One instruction with its keys: outer, inner, or a part of a batch."""

    path: str
    program: str
    accounts: list[str]
    data: bytes


class Move(Struct, frozen=True, gc=False):
    """Tokens from one token account to another. `fee` is `None` where the instruction does not state it."""

    call: Call
    kind: Kind
    source: str
    destination: str
    mint: str | None
    authority: str
    amount: int
    fee: int | None
    extra_accounts: list[str]


class Lamports(Struct, frozen=True, gc=False):
    """Lamports from one account to another. Funding a new account is not a payment."""

    call: Call
    source: str
    destination: str
    authority: str
    amount: int
    is_payment: bool
    extra_accounts: list[str]


class Open(Struct, frozen=True, gc=False):
    """A token account comes into being."""

    call: Call
    account: str
    mint: str
    owner: str


class SetOwner(Struct, frozen=True, gc=False):
    """A token account is given to another wallet."""

    account: str
    owner: str


class Issue(Struct, frozen=True, gc=False):
    """Tokens minted to an account, or burnt from it."""

    call: Call
    account: str
    mint: str
    authority: str
    amount: int
    burns: bool


class Sync(Struct, frozen=True, gc=False):
    """A wrapped-SOL account takes the lamports lying on it into its balance."""

    call: Call
    account: str


class Close(Struct, frozen=True, gc=False):
    """A token account ends; its lamports, wrapped ones included, go to `destination`."""

    call: Call
    account: str
    destination: str
    authority: str


class Unwrap(Struct, frozen=True, gc=False):
    """Wrapped SOL leaves as lamports; `amount` is `None` for all of it."""

    call: Call
    account: str
    destination: str
    authority: str
    amount: int | None


class WithdrawWithheld(Struct, frozen=True, gc=False):
    """Withheld Token-2022 fees are paid out; no instruction states how much."""

    call: Call
    account: str
    mint: str
    authority: str


class Opaque(Struct, frozen=True, gc=False):
    """What these accounts gained or lost cannot be read, and why."""

    accounts: list[str]
    reason: str


Step = Move | Lamports | Open | SetOwner | Issue | Sync | Close | Unwrap | WithdrawWithheld | Opaque


def batch_parts(call: Call) -> Iterator[Call]:
    """The instructions inside a `Batch`, which neither logs nor inner instructions show.

    After the discriminator, repeated: number of accounts (u8), length of data (u8), data. Accounts are
    taken in order from the batch's own. A batch holds no batch.
    """
    position, taken, index = 1, 0, 0
    while position + 2 <= len(call.data):
        accounts, length = call.data[position], call.data[position + 1]
        data = call.data[position + 2 : position + 2 + length]
        yield Call(f"{call.path}.{index}", call.program, call.accounts[taken : taken + accounts], data)
        position += 2 + length
        taken += accounts
        index += 1


def token_step(call: Call) -> Step | None:
    """What an instruction of a token program does to balances; `None` when nothing.

    The program accepted the instruction, so one that cannot be read here is of a newer kind: what it did to
    the accounts it names is not known.
    """
    try:
        return _token_step(call)
    except (IndexError, struct.error):
        return _unknown(call)


def _token_step(call: Call) -> Step | None:
    a, data = call.accounts, call.data
    match data[0]:
        case 3:
            amount = _u64(data, 1)
            return Move(call, Kind.TRANSFER, a[0], a[1], None, a[2], amount, 0, a[3:])
        case 12:
            # Token-2022 may withhold a fee that only the mint's configuration states.
            fee = None if call.program == TOKEN_2022_PROGRAM else 0
            return Move(call, Kind.TRANSFER_CHECKED, a[0], a[2], a[1], a[3], _u64(data, 1), fee, a[4:])
        case 7 | 14:
            return Issue(call, a[1], a[0], a[2], _u64(data, 1), burns=False)
        case 8 | 15:
            return Issue(call, a[0], a[1], a[2], _u64(data, 1), burns=True)
        case 1:
            return Open(call, a[0], a[1], a[2])
        case 16 | 18:
            return Open(call, a[0], a[1], _key(data, 1))
        case 6:
            # Authority type 2 is the owner of an account; the byte after it says that one is given.
            return SetOwner(a[0], _key(data, 3)) if data[1] == 2 and data[2] == 1 else None
        case 9:
            return Close(call, a[0], a[1], a[2])
        case 17:
            return Sync(call, a[0])
        case 45:
            return Unwrap(call, a[0], a[1], a[2], _u64(data, 2) if data[1] else None)
        case 26 | 27 | 37 | 42 | 46:
            return _extension_step(call)
        case kind if kind in _NEUTRAL:
            return None
    return _unknown(call)


def _extension_step(call: Call) -> Step | None:
    """Token-2022 extensions name their instruction in the second byte."""
    a, data = call.accounts, call.data
    match data[0], data[1]:
        case 26, 1:
            amount, fee = _u64(data, 2), _u64(data, 11)
            # The program checks the fee that is stated, but withholds nothing between an account and itself.
            fee = fee if a[0] != a[2] else 0
            return Move(call, Kind.TRANSFER_CHECKED_WITH_FEE, a[0], a[2], a[1], a[3], amount, fee, a[4:])
        case 26, (2 | 3):
            return WithdrawWithheld(call, a[1], a[0], a[2])
        case (26, (0 | 4 | 5)) | (46, 0):
            return None
        case 46, (1 | 2):  # permissioned burn: the permission stands before the owner
            return Issue(call, a[0], a[1], a[3], _u64(data, 2), burns=True)
        case (27 | 37 | 42) as extension, kind:
            return Opaque(a, _CONFIDENTIAL.get((extension, kind), "confidential amounts"))
    return _unknown(call)


def _unknown(call: Call) -> Opaque:
    return Opaque(call.accounts, f"an instruction that is not known here: {call.data[:2].hex()}")


def system_step(call: Call) -> Lamports | None:
    """What an instruction of the system program does to lamports; `None` when nothing."""
    try:
        return _system_step(call)
    except (IndexError, struct.error):
        return None


def _system_step(call: Call) -> Lamports | None:
    a, data = call.accounts, call.data
    match _U32.unpack_from(data)[0]:
        case 2:
            return Lamports(call, a[0], a[1], a[0], _u64(data, 4), is_payment=True, extra_accounts=a[2:])
        case 11:  # out of an account whose address derives from that of its authority
            return Lamports(call, a[0], a[2], a[1], _u64(data, 4), is_payment=True, extra_accounts=a[3:])
        case 0:
            return Lamports(call, a[0], a[1], a[0], _u64(data, 4), is_payment=False, extra_accounts=[])
        case 3:
            lamports = _u64(data, 44 + _u64(data, 36))  # after the seed, whose length stands before it
            return Lamports(call, a[0], a[1], a[0], lamports, is_payment=False, extra_accounts=[])
        case 5:
            return Lamports(call, a[0], a[1], a[4], _u64(data, 4), is_payment=False, extra_accounts=[])
        case 13 if len(a) > 1:  # an account that may hold lamports already; who adds to them is optional
            return Lamports(call, a[1], a[0], a[1], _u64(data, 4), is_payment=False, extra_accounts=[])
    return None


def _u64(data: bytes, offset: int) -> int:
    value: int = _U64.unpack_from(data, offset)[0]
    return value


def _key(data: bytes, offset: int) -> str:
    key = data[offset : offset + 32]
    if len(key) < 32:
        raise IndexError("an address is cut short")
    return str(Pubkey(key))


def steps_of(calls: Sequence[Call], token_programs: Sequence[str]) -> list[Step]:
    """The steps of `calls` that matter for balances, in order of execution."""
    steps: list[Step | None] = []
    for call in calls:
        if call.program not in token_programs:
            if call.program == SYSTEM_PROGRAM:
                steps.append(system_step(call))
        elif call.data.startswith(_BATCH_BYTE):
            steps += map(token_step, batch_parts(call))
        else:
            steps.append(token_step(call))
    return [step for step in steps if step is not None]
