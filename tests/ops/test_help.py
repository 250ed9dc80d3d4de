"""The help of every command, and the list of commands."""

import asyncio
import re

from pay402.ops.main import COMMANDS
from tests.ops.commands import pay402

SUBCOMMANDS = {"recipients": {"add", "list", "remove"}, "migrate": {"up", "down", "status", "dump"}}


async def test_help_lists_exactly_the_commands_there_are(home):
    done = await pay402("--help", home=home)
    assert (done.code, done.err) == (0, "")
    listed = re.findall(r"^│ ([a-z]+)  ", done.out.partition("Commands")[2], re.MULTILINE)
    assert listed == list(COMMANDS)


async def test_every_subcommand_is_listed_and_has_help_with_a_purpose(home):
    calls = [(name,) for name in SUBCOMMANDS] + [(name, one) for name, ones in SUBCOMMANDS.items() for one in ones]
    answers = await asyncio.gather(*(pay402(*call, "--help", home=home) for call in calls))
    for call, done in zip(calls, answers, strict=True):
        assert (done.code, done.err) == (0, ""), call
        assert f"Usage: pay402 {' '.join(call)}" in done.out
        # A sentence of purpose stands between the usage and the options.
        purpose = done.out.partition("Options")[0].partition("Usage")[2].split("\n", 1)[1]
        assert re.search(r"[A-Z][a-z]+ .{10,}\.", " ".join(purpose.split())), call
    for name, subcommands in SUBCOMMANDS.items():
        listed = answers[calls.index((name,))].out.partition("Commands")[2]
        assert set(re.findall(r"^[│ ] *([a-z]+)  ", listed, re.MULTILINE)) == subcommands


async def test_without_a_command_help_is_shown_and_the_exit_code_says_so(home):
    for call in ((), ("recipients",), ("migrate",)):
        done = await pay402(*call, home=home)
        assert done.code == 2
        assert "Usage: pay402" in done.out + done.err
        assert "error" not in done.err
