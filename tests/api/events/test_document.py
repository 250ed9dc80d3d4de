"""docs/events.md and the models say of every event what is published."""

import jsonschema
import pytest

from api.events.bodies import DATA_OF, EVENT_MODELS
from api.events.document import document, example, schema, schemas
from ledger.feed_entries import FEED_TYPES
from tests.support.source_tree import ROOT


def test_the_document_is_what_the_models_say():
    written = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert written == document(), "run `python -m api.events.document docs`"
    assert (ROOT / "docs" / "events.schema.json").read_text(encoding="utf-8") == schemas()


def test_every_type_that_can_be_published_is_described_and_no_other():
    assert list(DATA_OF) == list(FEED_TYPES)


@pytest.mark.parametrize("kind", FEED_TYPES)
def test_each_example_is_as_its_schema_says(kind):
    jsonschema.validate(example(kind), schema(kind))
    EVENT_MODELS[kind].model_validate(example(kind))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**example(kind), "data": {}}, schema(kind))
