"""Files for other programs: lists as CSV, for spreadsheets, and as JSON."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from starlette.responses import Response

from api.console.pages import PAGE_HEADERS
from api.http.json import answer

# Spreadsheets take what begins so for a formula.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


def csv_file(name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Response:
    """Rows as a CSV file called `name`."""
    written = csv_lines([columns, *([row[column] for column in columns] for row in rows)])
    return Response(written, headers=file_headers(name), media_type="text/csv; charset=utf-8")


def csv_lines(lines: Iterable[Sequence[Any]]) -> str:
    """Lines of a CSV file; texts that a spreadsheet would take for formulas begin with an apostrophe."""
    written = io.StringIO()
    csv.writer(written).writerows([_cell(value) for value in line] for line in lines)
    return written.getvalue()


def json_file(name: str, content: Any) -> Response:
    """An answer's model as a JSON file called `name`."""
    return answer(content, headers=file_headers(name))


def _cell(value: Any) -> str:
    text = "" if value is None else format(value, "f") if isinstance(value, Decimal) else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def file_headers(name: str) -> dict[str, str]:
    """The headers of a file called `name`, which the browser stores and no cache keeps."""
    return {**PAGE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
