"""Examples of what the API reads and answers, made of the samples and of what the schemas say."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.http.samples import FIELD_SAMPLES, MODEL_SAMPLES, REQUEST_SAMPLES

_TYPES: Final = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
# A UI figure of an example, and no money of anybody's.
_PLAIN: Final = {"integer": 1, "boolean": False, "number": float("0.01")}


class Examples:
    """Examples for the schemas of a document.

    A field takes the sample of its model and name, else that of its name, else what its schema allows.
    """

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        """Take the document's schemas by name, as its references mean them."""
        self._schemas = schemas

    def of_request(self, schema: Mapping[str, Any]) -> Any:
        """A request body: its model's own example, or the sample that is kept for it."""
        name = next((option["$ref"].rpartition("/")[2] for option in _options(schema) if "$ref" in option), None)
        if name is None:
            return self.of(schema)
        own = self._schemas[name].get("examples") or [REQUEST_SAMPLES.get(name)]
        return self._of_model(name) if own[0] is None else own[0]

    def of(self, schema: Mapping[str, Any], field: str = "", model: str = "") -> Any:
        """What `schema` describes, which stands in the object `model` under the name `field`."""
        for found in _samples(field, model):
            if any(_fits(option, found) for option in _options(schema)):
                return float(found) if schema.get("type") == "number" else found
        option = next(_options(schema))
        if "$ref" in option:
            return self._of_model(option["$ref"].rpartition("/")[2])
        stated = [*option.get("examples", ()), *option.get("enum", ())]
        stated += [option[key] for key in ("const", "default") if key in option]
        return stated[0] if stated else self._of_type(option, field, model)

    def _of_model(self, name: str) -> dict[str, Any]:
        schema = self._schemas[name]
        fields = {field: self.of(one, field, name) for field, one in schema.get("properties", {}).items()}
        required = set(schema.get("required", ()))
        return {field: value for field, value in fields.items() if field in required or value is not None}

    def _of_type(self, schema: Mapping[str, Any], field: str, model: str) -> Any:
        match schema:
            case {"type": "array"}:
                return [self.of(schema["items"], field.removesuffix("s"), model)]
            case {"type": "object", "additionalProperties": dict() as values}:
                return {FIELD_SAMPLES["currency"]: self.of(values, field, model)}
            case {"type": "object"}:
                return {}
            case {"type": "integer"} if "1970" in schema.get("description", "") or field.endswith("At"):
                return FIELD_SAMPLES["timestamp"]
            case {"type": "string"}:
                return FIELD_SAMPLES["amountBaseUnits"] if field.endswith("BaseUnits") else "string"
        return _PLAIN.get(schema.get("type", ""))


def _samples(field: str, model: str) -> Iterator[Any]:
    for known in (MODEL_SAMPLES.get(model, {}), FIELD_SAMPLES):
        if field in known:
            yield known[field]


def _options(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What a value may be: the schema itself, or each of its alternatives."""
    yield from schema.get("anyOf", [schema])


def _fits(schema: Mapping[str, Any], value: Any) -> bool:
    if "$ref" in schema:
        return False
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    kind = schema.get("type")
    if kind == "number":
        return isinstance(value, int) or (isinstance(value, str) and value.replace(".", "").isdigit())
    if value is None or kind is None:
        return kind in {None, "null"}
    return kind in _TYPES and isinstance(value, _TYPES[kind]) and isinstance(value, bool) == (kind == "boolean")
