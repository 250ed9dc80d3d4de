"""Where a body stops being JSON: line, column, field, and what was expected, without a word of what was sent."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

# A path is looked for in so many bytes at most, so that a refusal never costs more than reading the body.
_SCANNED_BYTES_MAX: Final = 16_384
_PARTS_MAX: Final = 8
# Names of fields are short and plain; whatever else stands where a name should stand may be a secret.
_NAME: Final = re.compile(r"[A-Za-z_][\w-]{0,39}", re.ASCII)
_HIDDEN: Final = "…"
_TOKEN: Final = re.compile(r'"((?:[^"\\]|\\.)*)("?)|[{}\[\],:]', re.DOTALL)
_BYTE: Final = re.compile(r"\(byte ([0-9]+)\)$")
_VALUE: Final = "a value: an object, a list, a text in double quotes, a number, true, false or null"
_EXPECTED: Final = {
    "object keys must be strings": "a name in double quotes",
    "trailing characters": "the end of the body",
    "trailing comma in object": "another field after the comma, or no comma",
    "trailing comma in array": "another value after the comma, or no comma",
    "invalid number": "a number as JSON writes it, as 12 or 0.5",
    "invalid escape character in string": r"an escape that JSON has, as \n or \"",
    "invalid character": _VALUE,
}
_ONE_BEFORE: Final = frozenset({"trailing characters", "invalid escape character in string"})
_IN_TEXT: Final = r"the rest of a text; a line break in it is written as \n"
_MORE: Final = "more: the body ends in the middle"


@dataclass(frozen=True, slots=True)
class JsonFault:
    """Where a body is broken. Lines and columns count from 1, or are not known; `field` is the path to it, if any."""

    line: int | None
    column: int | None
    expected: str
    field: str | None

    @property
    def sentence(self) -> str:
        """What is wrong and what to do."""
        if self.line is None:
            return (
                f"The body is no JSON that can be read: it should have {self.expected}; correct it and send it again."
            )
        where = f"line {self.line}, column {self.column}" + (f", in {self.field}" if self.field else "")
        return f"The body is not JSON: at {where} it should have {self.expected}; correct it and send it again."

    @property
    def details(self) -> dict[str, Any]:
        """The same for programs."""
        return {"line": self.line, "column": self.column, "expected": self.expected, "field": self.field}


class BrokenJsonError(json.JSONDecodeError):
    """A body that is no JSON; FastAPI refuses it as it refuses the standard library's error."""

    def __init__(self, fault: JsonFault) -> None:
        super().__init__(fault.sentence, "", 0)
        self.fault = fault


def find_fault(body: bytes, error: Exception) -> JsonFault:
    """Where `body` is broken, of which the JSON reader said `error`."""
    try:
        body.decode()
    except UnicodeDecodeError as wrong:
        return _fault(body, wrong.start, "a text in UTF-8")
    if isinstance(error, RecursionError):
        return JsonFault(None, None, "fewer lists and objects within each other", None)
    said = str(error)
    if (found := _BYTE.search(said)) is not None:
        reason = said[: found.start()].rpartition("malformed: ")[2].strip()
        # Of these the reader says where it went on.
        position = int(found[1]) - (reason in _ONE_BEFORE)
        return _fault(body, position, _EXPECTED.get(reason, reason.removeprefix("expected ")))
    if "truncated" in said:
        return _fault(body, len(body), _MORE)
    return JsonFault(None, None, "no number of more than 64 characters or beyond 1e308", None)


def field_path(parts: Iterable[str | int]) -> str:
    """The name of a nested field, as `metadata.items.0`; what does not look like a name is hidden."""
    return ".".join(str(part) if isinstance(part, int) or _NAME.fullmatch(part) else _HIDDEN for part in parts)


def _fault(body: bytes, position: int, expected: str) -> JsonFault:
    before = body[:position].decode(errors="replace")
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    path, is_in_text = _path(before) if position <= _SCANNED_BYTES_MAX else ([], False)
    if is_in_text and expected == _VALUE:
        expected = _IN_TEXT
    return JsonFault(line, column, expected, field_path(path) or None)


def _path(before: str) -> tuple[list[str | int], bool]:
    """The names and places that lead to the end of `before`, and whether it ends within a text."""
    path: list[str | int | None] = []
    name, is_open = "", False
    for token in _TOKEN.finditer(before):
        match token[0][0]:
            case '"':
                name, is_open = token[1], not token[2]
            case ":" if path:
                path[-1] = name
            case "{":
                path.append(None)
            case "[":
                path.append(0)
            case "," if path:
                last = path[-1]
                path[-1] = last + 1 if isinstance(last, int) else None
            case "}" | "]" if path:
                path.pop()
    return [part for part in path[:_PARTS_MAX] if part is not None], is_open
