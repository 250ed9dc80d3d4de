"""The help of every command, and the list of commands."""

import re

import pytest

from cli.main import COMMANDS, _load
from tests.support.command_line import pay402

SUBCOMMANDS = {
    "payouts": {"list", "export", "sign", "import", "nonce", "retry", "redirect"},
    "keys": {"create", "list", "rotate", "revoke"},
    "recipients": {"add", "for-tests", "list", "remove"},
    "services": {"for-tests", "list"},
    "payments": {"list", "show", "watch"},
    "events": {"list", "tail"},
    "webhooks": {"add", "list", "deliveries", "retry", "test", "remove"},
    "localnet": {"pay"},
    "migrate": {"up", "down", "status", "roles", "dump"},
}


async def test_help_lists_exactly_the_commands_there_are(home):
    done = await pay402("--help", home=home)
    assert (done.code, done.err) == (0, "")
    listed = re.findall(r"^  ([a-z]+)  ", done.out.partition("Commands")[2], re.MULTILINE)
    assert listed == list(COMMANDS)


async def test_a_command_without_its_subcommand_shows_its_help_and_the_exit_code_says_so(home):
    done = await pay402("recipients", home=home)
    assert done.code == 2
    assert "Usage: pay402 recipients" in done.out + done.err
    assert "error" not in done.err


CALLS = [(name,) for name in COMMANDS] + [(name, one) for name, ones in SUBCOMMANDS.items() for one in sorted(ones)]


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_every_command_and_subcommand_has_help_with_a_purpose(call, capsys):
    name, *rest = call
    assert _load(name).main([*rest, "--help"], prog_name=f"pay402 {name}", standalone_mode=False) == 0
    shown = capsys.readouterr().out
    assert f"Usage: pay402 {' '.join(call)}" in shown
    # A sentence on what it is for stands between the usage and the options.
    purpose = shown.partition("Options")[0].partition("Usage")[2].split("\n", 1)[1]
    assert re.search(r"[A-Z][a-z]+.{10,}\.", " ".join(purpose.split())), shown


@pytest.mark.parametrize("name", COMMANDS)
def test_the_subcommands_are_these(name):
    assert set(getattr(_load(name), "commands", {})) == SUBCOMMANDS.get(name, set())


@pytest.mark.parametrize("call", [(), ("payments",), ("payments", "list"), ("doctor",)], ids=" ".join)
async def test_every_help_has_one_style_and_two_names(home, call):
    long, short = [await pay402(*call, name, home=home) for name in ("--help", "-h")]
    assert (short.code, short.out) == (0, long.out)
    assert "-h, --help" in short.out
    # No frames, which a narrow terminal breaks, and nothing wider than 80 columns.
    assert not re.search("[│╭╰─]", short.out)
    assert max(map(len, short.out.splitlines())) <= 80
    # No line that had to be cut.
    assert "..." not in short.out.replace("[ARGS]...", "")
