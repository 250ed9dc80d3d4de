"""`pay402 --install-completion`: shells complete the commands, and the script names nothing that is not there."""

import pytest

from cli.main import COMMANDS
from tests.support.command_line import pay402


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_a_shell_can_ask_for_the_script(home, shell):
    done = await pay402("--show-completion", shell, home=home, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (done.code, done.err) == (0, "")
    assert "pay402" in done.out
    assert "_PAY402_COMPLETE" in done.out


async def completions(home, *words):
    """What bash is told to offer for the last word."""
    line = " ".join(("pay402", *words))
    done = await pay402(home=home, _PAY402_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    assert done.err == ""
    return set(done.out.split())


async def test_commands_subcommands_and_options_are_completed(home):
    assert await completions(home, "") == set(COMMANDS)
    assert await completions(home, "ba") == {"backfill", "backup"}
    assert {"up", "down", "status"} <= await completions(home, "migrate", "")
    assert "--verify" in await completions(home, "backup", "--")


async def test_bash_installs_it(home):
    done = await pay402("--install-completion", "bash", home=home, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert done.code == 0
    assert (home / ".bash_completions" / "pay402.sh").exists()
