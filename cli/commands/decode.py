"""`pay402 decode`: what recorded transactions or blocks really moved."""

import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from chain.decode import MalformedAnswerError, decode, decode_block
from ledger.observation import Movement, Observation
from runtime.errors import OperatorError


def command(
    files: Annotated[
        list[str],
        typer.Argument(help="Recorded answers of getTransaction or getBlock; .gz is read too, - is standard input"),
    ],
    slot: Annotated[int | None, typer.Option(help="The slot of a recorded block, which does not tell its own")] = None,
) -> None:
    """Print what recorded transactions moved, as JSON lines.

    One line per transaction; a summary goes to standard error. What no instruction explains stands under
    `unexplained`. A transaction of a block that cannot be read is named there; the others are printed.

    Example: pay402 decode block.json | jq 'select(.transfers != [])'
    """
    transactions = transfers = failed = unexplained = 0
    unreadable: list[str] = []
    for file in files:
        for observation in _observations(file, unreadable):
            transactions += 1
            failed += observation.failed
            transfers += sum(1 for _ in observation.transfers)
            unexplained += len(observation.unexplained)
            line = _line(observation, slot)
            sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()
    sys.stderr.write(
        f"decode: {transactions} transactions, {failed} failed, {transfers} transfers, {unexplained} unexplained\n"
    )
    if unreadable:
        more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        raise OperatorError(f"{unreadable[0]}{more}; all others are printed; record it again in base64 or json.")


def _observations(file: str, unreadable: list[str]) -> Iterator[Observation]:
    """Decode every answer in a file: one JSON document, or one a line. Adds what is `unreadable` in blocks."""
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


def _line(observation: Observation, slot: int | None) -> dict[str, Any]:
    moved = [(movement, _movement(movement)) for movement in observation.movements]
    transfers = set(map(id, observation.transfers))
    return {
        "signature": observation.signature,
        "slot": observation.slot if observation.slot is not None else slot,
        "failed": observation.failed,
        "transfers": [line for movement, line in moved if id(movement) in transfers],
        "otherMovements": [line for movement, line in moved if id(movement) not in transfers],
        "balanceChanges": [
            {"account": c.account, "owner": c.owner, "mint": c.mint, "pre": c.pre, "post": c.post}
            for c in observation.balances
            if c.pre != c.post
        ],
        "memos": list(observation.memos),
        "references": list(observation.references),
        "unexplained": [
            {"account": u.account, "mint": u.mint, "difference": u.difference, "reason": u.reason}
            for u in observation.unexplained
        ],
    }


def _movement(movement: Movement) -> dict[str, Any]:
    return {
        "path": movement.path,
        "kind": movement.kind.value,
        "program": movement.program,
        "mint": movement.mint,
        "source": movement.source,
        "destination": movement.destination,
        "sourceOwner": movement.source_owner,
        "destinationOwner": movement.destination_owner,
        "amount": movement.amount,
        "fee": movement.fee,
    }
