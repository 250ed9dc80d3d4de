"""`python -m pay402` is the `pay402` command."""

from pay402.ops.main import run

run()
