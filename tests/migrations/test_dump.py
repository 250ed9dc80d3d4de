"""The readable schema says what the migrations do."""

import re

from migrations.dump import SCHEMA_FILE, dump_schema


def test_the_schema_file_is_what_the_migrations_add_up_to(postgres):
    current = dump_schema(postgres.format("template_ledger"))
    assert SCHEMA_FILE.read_text() == current, "schema.sql is out of date; run `pay402 migrate dump` and commit it"


def test_a_dump_says_nothing_but_the_schema(postgres):
    dump = dump_schema(postgres.format("template_ledger"))
    assert "CREATE TABLE public.transfers" in dump
    assert "COMMENT ON TABLE public.transfers" in dump
    assert "alembic" not in dump
    assert not re.search(r"^SET |restrict|\bversion\b|OWNER|GRANT|\n\n\n", dump, re.MULTILINE)
