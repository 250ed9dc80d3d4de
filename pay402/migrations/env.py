"""Alembic's entry: it is given a connection and never reads configuration of its own."""

from alembic import context

from pay402.migrations import context_options

context.configure(connection=context.config.attributes["connection"], **context_options())
with context.begin_transaction():
    context.run_migrations()
