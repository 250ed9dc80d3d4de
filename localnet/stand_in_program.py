"""A program that succeeds whatever it is asked, in place of one that cannot be had here.

Wallets put instructions of Lighthouse before and after a payment, which fail the transaction where an account is not
as the wallet expects. Lighthouse is not among the programs that LiteSVM carries, and its compiled form is on the real
clusters alone. What a ledger has to get right is the layout of such transactions, for which a program that checks
nothing does; one that lets a guard fail is a test of Lighthouse.

The file is an ELF with one section of code, as the loader wants it at least: `mov64 r0, 0; exit`.
"""

import struct
from typing import Final

_SUCCEED: Final = bytes.fromhex("b700000000000000 9500000000000000")
_NAMES: Final = b"\0.text\0.shstrtab\0"
_IDENTITY: Final = b"\x7fELF\x02\x01\x01" + bytes(9)  # 64 bits, little-endian
_SHARED_OBJECT, _BPF_MACHINE, _ELF_VERSION = 3, 247, 1
_LOADED_SEGMENT, _READ_AND_EXECUTE, _PAGE_BYTES = 1, 5, 0x1000
_CODE, _TEXTS, _ALLOCATED_AND_EXECUTABLE = 1, 3, 6
_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")


def stand_in_program() -> bytes:
    """The program as a loader reads it."""
    code_at = _HEADER.size + _SEGMENT.size
    names_at = code_at + len(_SUCCEED)
    padding = -(names_at + len(_NAMES)) % 8
    sections_at = names_at + len(_NAMES) + padding
    sections = [
        _section(),
        _section(_NAMES.index(b".text"), _CODE, _ALLOCATED_AND_EXECUTABLE, code_at, code_at, len(_SUCCEED)),
        _section(_NAMES.index(b".shstrtab"), _TEXTS, 0, 0, names_at, len(_NAMES)),
    ]
    header = _HEADER.pack(
        _IDENTITY,
        _SHARED_OBJECT,
        _BPF_MACHINE,
        _ELF_VERSION,
        code_at,
        _HEADER.size,
        sections_at,
        0,
        _HEADER.size,
        _SEGMENT.size,
        1,
        _SECTION.size,
        len(sections),
        len(sections) - 1,
    )
    size = len(_SUCCEED)
    segment = _SEGMENT.pack(_LOADED_SEGMENT, _READ_AND_EXECUTE, code_at, code_at, code_at, size, size, _PAGE_BYTES)
    return b"".join((header, segment, _SUCCEED, _NAMES, bytes(padding), *sections))


def _section(name: int = 0, kind: int = 0, flags: int = 0, address: int = 0, offset: int = 0, size: int = 0) -> bytes:
    return _SECTION.pack(name, kind, flags, address, offset, size, 0, 0, 8 if kind == _CODE else 1, 0)
