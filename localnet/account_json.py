"""Accounts in the encodings a node answers with."""

import base64
from collections.abc import Callable
from typing import Any, Final

from solders.account import Account
from solders.pubkey import Pubkey

from chain.base58 import b58encode
from localnet.accounts import (
    TOKEN_PROGRAM,
    Mint,
    TokenAccount,
    parse_mint,
    parse_token_account,
)
from localnet.encoding import ui_token_amount
from localnet.errors import INVALID_REQUEST, RpcError, invalid_params
from localnet.params import Config

ACCOUNT_ENCODINGS: Final = ("base58", "base64", "jsonParsed", "binary")
_MAX_BASE58_BYTES: Final = 128
_FROZEN: Final = 2

AccountAt = Callable[[Pubkey], Account | None]


class AccountEncoder:
    """Encodes accounts as one call's configuration asks: `encoding` and `dataSlice`.

    `account_at` reads another account at the same slot: a parsed token account needs its mint's decimals.
    Raises -32602 for an encoding this node does not speak.
    """

    def __init__(self, config: Config, account_at: AccountAt, default: str = "binary") -> None:
        self._encoding = config.choice("encoding", ACCOUNT_ENCODINGS, default)
        self._slice = _data_slice(config)
        self._account_at = account_at

    def encode(self, account: Account) -> dict[str, Any]:
        """`{data, executable, lamports, owner, rentEpoch, space}`."""
        return {
            "data": self._data(account),
            "executable": account.executable,
            "lamports": account.lamports,
            "owner": str(account.owner),
            "rentEpoch": account.rent_epoch,
            "space": len(account.data),
        }

    def _data(self, account: Account) -> Any:
        if self._encoding == "jsonParsed":
            parsed = parsed_data(account, self._account_at)
            if parsed is not None:
                return parsed
        data = account.data
        if self._slice is not None:
            offset, length = self._slice
            data = data[offset : offset + length]
        if self._encoding in {"base64", "jsonParsed"}:
            return [base64.b64encode(data).decode(), "base64"]
        if len(data) > _MAX_BASE58_BYTES:
            raise RpcError(
                INVALID_REQUEST,
                f"Encoded binary (base 58) data should be less than {_MAX_BASE58_BYTES} bytes, "
                "please use Base64 encoding.",
            )
        text = b58encode(data)
        return [text, "base58"] if self._encoding == "base58" else text


def parsed_data(account: Account, account_at: AccountAt) -> dict[str, Any] | None:
    """`{program, parsed: {type, info}, space}` of a token account or a mint, None for any other account."""
    program = "spl-token" if account.owner == TOKEN_PROGRAM else "spl-token-2022"
    token = parse_token_account(account)
    if token is not None:
        mint = parse_mint(account_at(token.mint))
        if mint is None:
            return None
        parsed = {"type": "account", "info": _token_account_info(token, mint.decimals)}
    else:
        mint = parse_mint(account)
        if mint is None:
            return None
        parsed = {"type": "mint", "info": _mint_info(mint)}
    return {"program": program, "parsed": parsed, "space": len(account.data)}


def _token_account_info(token: TokenAccount, decimals: int) -> dict[str, Any]:
    info: dict[str, Any] = {
        "isNative": token.native_reserve is not None,
        "mint": str(token.mint),
        "owner": str(token.owner),
        "state": "frozen" if token.state == _FROZEN else "initialized",
        "tokenAmount": ui_token_amount(token.amount, decimals),
    }
    if token.delegate is not None:
        info["delegate"] = str(token.delegate)
        info["delegatedAmount"] = ui_token_amount(token.delegated_amount, decimals)
    if token.native_reserve is not None:
        info["rentExemptReserve"] = ui_token_amount(token.native_reserve, decimals)
    if token.close_authority is not None:
        info["closeAuthority"] = str(token.close_authority)
    return info


def _mint_info(mint: Mint) -> dict[str, Any]:
    return {
        "decimals": mint.decimals,
        "freezeAuthority": None if mint.freeze_authority is None else str(mint.freeze_authority),
        "isInitialized": True,
        "mintAuthority": None if mint.authority is None else str(mint.authority),
        "supply": str(mint.supply),
    }


def _data_slice(config: Config) -> tuple[int, int] | None:
    wanted = config.get("dataSlice")
    if wanted is None:
        return None
    if not isinstance(wanted, dict):
        raise invalid_params("Invalid params: invalid type: expected struct UiDataSliceConfig.")
    asked = Config(wanted)
    offset, length = asked.integer("offset"), asked.integer("length")
    if offset is None or length is None:
        raise invalid_params(f"Invalid params: missing field `{'offset' if offset is None else 'length'}`.")
    return offset, length
