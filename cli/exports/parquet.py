"""Rows of a cursor as a Parquet file, a group of rows at a time; amounts are exact decimals."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from runtime.errors import OperatorError

if TYPE_CHECKING:
    from asyncpg.prepared_stmt import PreparedStatement

_ROWS_PER_GROUP: Final = 20_000
_U64_DIGITS: Final = 20


def require_pyarrow() -> None:
    """Say so at once where Parquet cannot be written.

    Raises:
        OperatorError: pyarrow is not installed.
    """
    if find_spec("pyarrow") is None:
        raise OperatorError(
            "Parquet needs pyarrow; install requirements-parquet.lock (docs/analytics.md, *Files*), "
            "or export with --format csv."
        )


async def write_parquet(
    statement: "PreparedStatement[Any]", arguments: Sequence[Any], file: BinaryIO, on_rows: Callable[[float], None]
) -> int:
    """Write every row of a statement; returns how many there were. `on_rows` gets the size of each group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(statement)
    cursor = await statement.cursor(*arguments)
    count = 0
    # Through Python's file object, which may be a pipe: nothing seeks.
    with pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, compression="zstd") as writer:
        while rows := await cursor.fetch(_ROWS_PER_GROUP):
            columns = [pa.array([row[n] for row in rows], type=column.type) for n, column in enumerate(schema)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            count += len(rows)
            on_rows(len(rows))
    return count


def _schema(statement: "PreparedStatement[Any]") -> Any:
    """The columns by the types that the database gives them."""
    import pyarrow as pa

    types = {
        "numeric": pa.decimal128(_U64_DIGITS, 0),
        "timestamptz": pa.timestamp("us", tz="UTC"),
        "int8": pa.int64(),
        "int4": pa.int32(),
    }
    return pa.schema([(a.name, types.get(a.type.name, pa.string())) for a in statement.get_attributes()])
