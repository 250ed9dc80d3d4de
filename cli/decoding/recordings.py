"""Recorded answers of getTransaction or getBlock: read from files, decoded one by one."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from chain.decode import MalformedAnswerError, decode, decode_block
from ledger.observation import Observation
from runtime.errors import OperatorError


def observations_in(file: str, unreadable: list[str]) -> Iterator[Observation]:
    """Every answer in a file, decoded: one JSON document, or one a line; `-` is standard input.

    Adds to `unreadable` a sentence for each transaction of a block that cannot be decoded.

    Raises:
        OperatorError: The file cannot be read, or it holds something else.
    """
    raw = _read(file)
    try:
        for document in _documents(raw):
            yield from _decode_document(document, _name(file), unreadable)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, MalformedAnswerError) as error:
        raise OperatorError(
            f"{_name(file)} does not hold answers of getTransaction or getBlock ({error}); "
            "record them with encoding base64 or json and full transaction details."
        ) from error


def _read(file: str) -> bytes:
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OperatorError(f"{_name(file)} cannot be read ({reason}); check the path and what is in it.") from error


def _name(file: str) -> str:
    return "standard input" if file == "-" else file


def _documents(raw: bytes) -> Iterator[Any]:
    try:
        yield msgspec.json.decode(raw)
    except msgspec.DecodeError:
        lines = [line for line in raw.splitlines() if line.strip()]
        if len(lines) < 2:  # noqa: PLR2004 - a single line has been tried already
            raise
        yield from map(msgspec.json.decode, lines)


def _decode_document(document: Any, name: str, unreadable: list[str]) -> Iterator[Observation]:
    match document:
        case list():
            for item in document:
                yield from _decode_document(item, name, unreadable)
        case {"error": dict() as error, "id": _}:
            raise MalformedAnswerError(f"the node answered with an error: {error.get('message')}")
        case {"result": None, "id": _}:
            raise MalformedAnswerError("the node did not have it: the result is null")
        case {"result": dict() as result}:
            yield from _decode_document(result, name, unreadable)
        case {"transactions": _}:
            yield from _decode_block(document, name, unreadable)
        case {"transaction": _}:
            yield decode(document)
        case _:
            raise MalformedAnswerError("neither a transaction nor a block with its transactions")


def _decode_block(block: dict[str, Any], name: str, unreadable: list[str]) -> Iterator[Observation]:
    bad: list[tuple[int, MalformedAnswerError]] = []
    good = 0
    for observation in decode_block(block, on_unreadable=lambda index, error: bad.append((index, error))):
        good += 1
        yield observation
    if bad and not good:
        raise bad[0][1]  # not one bad transaction, but a block in another encoding
    unreadable.extend(f"Transaction {index} of the block in {name} cannot be read: {error}" for index, error in bad)
