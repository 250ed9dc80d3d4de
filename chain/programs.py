"""The programs and mints that a ledger of payments has to know by name.

Sources: the Solana program registry for program ids, the issuers' own pages for mints.
"""

from dataclasses import dataclass
from typing import Final

from ledger.tokens import NATIVE_SOL

# No mint can have this address, under which the ledger files native SOL.
SYSTEM_PROGRAM: Final = NATIVE_SOL
TOKEN_PROGRAM: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022_PROGRAM: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
ASSOCIATED_TOKEN_PROGRAM: Final = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
ADDRESS_LOOKUP_TABLE_PROGRAM: Final = "AddressLookupTab1e1111111111111111111111111"
COMPUTE_BUDGET_PROGRAM: Final = "ComputeBudget111111111111111111111111111111"
MEMO_PROGRAM: Final = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
MEMO_V1_PROGRAM: Final = "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"
# Asserts what its instructions say of accounts, so that a transaction fails where they are otherwise.
LIGHTHOUSE_PROGRAM: Final = "L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95"

TOKEN_PROGRAMS: Final = (TOKEN_PROGRAM, TOKEN_2022_PROGRAM)
MEMO_PROGRAMS: Final = (MEMO_PROGRAM, MEMO_V1_PROGRAM)

WRAPPED_SOL_2022_MINT: Final = "9pan9bMn5HatX4EJdBwg9VgCa7Uz5HL8N1m5D3NdXejP"
SOL_DECIMALS: Final = 9


@dataclass(frozen=True, slots=True)
class NamedToken:
    """A token that requests may name by its symbol."""

    symbol: str
    network: str
    mint: str
    decimals: int
    program: str


TOKENS: Final = (
    NamedToken("USDC", "mainnet-beta", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", 6, TOKEN_PROGRAM),
    NamedToken("USDT", "mainnet-beta", "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB", 6, TOKEN_PROGRAM),
    NamedToken("PYUSD", "mainnet-beta", "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo", 6, TOKEN_2022_PROGRAM),
    NamedToken("USDC", "devnet", "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU", 6, TOKEN_PROGRAM),
    NamedToken("USDT", "devnet", "EJwZgeZrdC8TXTQbQBoL6bfuAnFUUy1PVCMB4DYPzVaS", 6, TOKEN_PROGRAM),
    NamedToken("PYUSD", "devnet", "CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM", 6, TOKEN_2022_PROGRAM),
)
