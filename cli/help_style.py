"""One style of help for every command: plain text, by `-h` and `--help`, without options of the shell."""

from typing import Any, Final

PLAIN_HELP: Final[dict[str, Any]] = {
    "rich_markup_mode": None,
    # `pay402` itself has them, for all commands.
    "add_completion": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
"""Arguments of `typer.Typer`."""
