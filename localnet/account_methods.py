"""Methods about accounts, tokens and rent."""

from functools import partial
from typing import Any, Final

from solders.account import Account
from solders.pubkey import Pubkey

from chain.base58 import b58decode
from localnet.account_json import AccountAt, AccountEncoder
from localnet.accounts import TOKEN_PROGRAMS, parse_mint, parse_token_account
from localnet.calls import Call, Method
from localnet.encoding import ui_token_amount
from localnet.errors import invalid_params
from localnet.params import Config, pubkey

MULTIPLE_ACCOUNTS_MAX: Final = 100


def get_account_info(call: Call) -> dict[str, Any]:
    """One account, or null."""
    address = call.params.pubkey(0)
    config = call.params.config(1)
    slot = call.slot(config)
    read = _reader(call, slot)
    account = read(address)
    encoder = AccountEncoder(config, read)
    return call.in_context(slot, None if account is None else encoder.encode(account))


def get_multiple_accounts(call: Call) -> dict[str, Any]:
    """Up to 100 accounts, null where there is none."""
    wanted = call.params.texts(0)
    if len(wanted) > MULTIPLE_ACCOUNTS_MAX:
        raise invalid_params(f"Too many inputs provided; max {MULTIPLE_ACCOUNTS_MAX}")
    addresses = [pubkey(one) for one in wanted]
    config = call.params.config(1)
    slot = call.slot(config)
    read = _reader(call, slot)
    encoder = AccountEncoder(config, read, default="base64")
    accounts = [read(address) for address in addresses]
    return call.in_context(slot, [None if account is None else encoder.encode(account) for account in accounts])


def get_balance(call: Call) -> dict[str, Any]:
    """Lamports, 0 for an account that does not exist."""
    address = call.params.pubkey(0)
    slot = call.slot(call.params.config(1))
    account = _reader(call, slot)(address)
    return call.in_context(slot, 0 if account is None else account.lamports)


def get_token_accounts_by_owner(call: Call) -> dict[str, Any]:
    """The token accounts of a wallet, of one mint or of one token program."""
    owner = call.params.pubkey(0)
    mint, program = _token_filter(call.params.required(1))
    config = call.params.config(2)
    slot = call.slot(config)
    read = _reader(call, slot)
    if mint is not None:
        if parse_mint(read(mint)) is None:
            raise invalid_params("Invalid param: could not find mint")
    elif program not in TOKEN_PROGRAMS:
        raise invalid_params("Invalid param: unrecognized Token program id")
    encoder = AccountEncoder(config, read)
    owned = []
    for address, account in call.chain.token_accounts_of(owner, slot):
        parsed = parse_token_account(account)
        if parsed is not None and (parsed.mint == mint if mint is not None else parsed.program == program):
            owned.append({"pubkey": str(address), "account": encoder.encode(account)})
    return call.in_context(slot, owned)


def get_token_account_balance(call: Call) -> dict[str, Any]:
    """The balance of a token account."""
    address = call.params.pubkey(0)
    slot = call.slot(call.params.config(1))
    read = _reader(call, slot)
    account = read(address)
    if account is None:
        raise invalid_params("Invalid param: could not find account")
    token = parse_token_account(account)
    if token is None:
        raise invalid_params("Invalid param: not a Token account")
    mint = parse_mint(read(token.mint))
    if mint is None:
        raise invalid_params("Invalid param: could not find mint")
    return call.in_context(slot, ui_token_amount(token.amount, mint.decimals))


def get_token_supply(call: Call) -> dict[str, Any]:
    """The supply of a mint."""
    address = call.params.pubkey(0)
    slot = call.slot(call.params.config(1))
    account = _reader(call, slot)(address)
    if account is None:
        raise invalid_params("Invalid param: could not find account")
    mint = parse_mint(account)
    if mint is None:
        raise invalid_params("Invalid param: mint could not be unpacked")
    return call.in_context(slot, ui_token_amount(mint.supply, mint.decimals))


def get_program_accounts(call: Call) -> Any:
    """The accounts a program owns; filters `dataSize` and `memcmp` are honoured."""
    program = call.params.pubkey(0)
    config = call.params.config(1)
    slot = call.slot(config)
    filters = config.get("filters") or []
    encoder = AccountEncoder(config, _reader(call, slot))
    found = [
        {"pubkey": str(address), "account": encoder.encode(account)}
        for address, account in call.chain.program_accounts(program, slot)
        if all(_passes(account, one) for one in filters)
    ]
    return call.in_context(slot, found) if config.flag("withContext") else found


def get_minimum_balance_for_rent_exemption(call: Call) -> int:
    """Lamports that keep an account of this many bytes."""
    return call.chain.bank.svm.minimum_balance_for_rent_exemption(call.params.integer(0))


def _reader(call: Call, slot: int) -> AccountAt:
    return partial(call.chain.account, slot=slot)


def _token_filter(wanted: Any) -> tuple[Pubkey | None, Pubkey | None]:
    if isinstance(wanted, dict) and len(wanted) == 1:
        if "mint" in wanted:
            return pubkey(wanted["mint"]), None
        if "programId" in wanted:
            return None, pubkey(wanted["programId"])
    raise invalid_params("Invalid params: unknown filter, expected one of `mint`, `programId`.")


def _passes(account: Account, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        raise invalid_params("Invalid params: invalid type: expected a filter.")
    size = wanted.get("dataSize")
    if size is not None:
        return bool(len(account.data) == size)
    compare = wanted.get("memcmp")
    if not isinstance(compare, dict) or not isinstance(compare.get("bytes"), str):
        raise invalid_params("Invalid params: unknown filter, expected one of `dataSize`, `memcmp`.")
    if compare.get("encoding", "base58") != "base58":
        raise invalid_params("Invalid params: memcmp is served in base58 only.")
    offset = Config(compare).integer("offset") or 0
    try:
        wanted_bytes = b58decode(compare["bytes"])
    except ValueError as error:
        raise invalid_params(f"Invalid param: {error}") from None
    return account.data[offset : offset + len(wanted_bytes)] == wanted_bytes


METHODS: Final[dict[str, Method]] = {
    "getAccountInfo": get_account_info,
    "getMultipleAccounts": get_multiple_accounts,
    "getBalance": get_balance,
    "getTokenAccountsByOwner": get_token_accounts_by_owner,
    "getTokenAccountBalance": get_token_account_balance,
    "getTokenSupply": get_token_supply,
    "getProgramAccounts": get_program_accounts,
    "getMinimumBalanceForRentExemption": get_minimum_balance_for_rent_exemption,
}
