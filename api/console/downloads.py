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
    """Rows as a CSV file called `name`; texts that a spreadsheet would take for formulas begin with an apostrophe."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])
    return Response(written.getvalue(), headers=_headers(name), media_type="text/csv; charset=utf-8")


def json_file(name: str, content: Any) -> Response:
    """An answer's model as a JSON file called `name`."""
    return answer(content, headers=_headers(name))


def _cell(value: Any) -> str:
    text = "" if value is None else format(value, "f") if isinstance(value, Decimal) else str(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _headers(name: str) -> dict[str, str]:
    return {**PAGE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
