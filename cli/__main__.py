"""`python -m cli` is the `pay402` command."""

from cli.main import run

run()
