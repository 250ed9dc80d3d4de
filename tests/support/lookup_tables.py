"""Address lookup tables on a localnet."""

from solders.address_lookup_table_account import AddressLookupTableAccount, derive_lookup_table_address
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from tests.support.wallets import signed

LOOKUP_PROGRAM = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")


def create_table(chain, payer, addresses, ticks=1):
    """A lookup table made by real transactions; usable from the next slot on."""
    slot = chain.blocks[-1].slot
    table, bump = derive_lookup_table_address(payer.pubkey(), slot)
    metas = [
        AccountMeta(table, False, True),
        AccountMeta(payer.pubkey(), True, False),
        AccountMeta(payer.pubkey(), True, True),
        AccountMeta(Pubkey.default(), False, False),
    ]
    create = (0).to_bytes(4, "little") + slot.to_bytes(8, "little") + bytes([bump])
    listed = b"".join(bytes(address) for address in addresses)
    extend = (2).to_bytes(4, "little") + len(addresses).to_bytes(8, "little") + listed
    instructions = [Instruction(LOOKUP_PROGRAM, create, metas), Instruction(LOOKUP_PROGRAM, extend, metas)]
    assert chain.send(signed(instructions, [payer], chain.blocks[-1].hash)).err is None
    chain.tick(ticks)
    return AddressLookupTableAccount(table, addresses)
