"""The rooms of the API: each can be taken alone, and asks the application for no other's context."""

import re
import subprocess
import sys

import pytest

from tests.support.source_tree import ROOT

ROOMS = sorted(path.name for path in (ROOT / "api").iterdir() if (path / "__init__.py").is_file())


def test_there_are_rooms():
    assert {"http", "access", "routing", "verify", "payments", "keys", "marketplace"} <= set(ROOMS)


def modules_of(room):
    return [f"api.{room}.{path.stem}" for path in sorted((ROOT / "api" / room).glob("[!_]*.py"))]


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_can_be_imported_alone(room):
    """In a fresh interpreter, each of its modules first: none leans on another room's having been imported."""
    names = modules_of(room)
    # One interpreter a room; what the last module brought in is forgotten before the next.
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    for loaded in [one for one in sys.modules if one.partition('.')[0] == 'api']:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_asks_for_its_own_context_alone(room):
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "api" / room).glob("*.py"))
    assert set(re.findall(r"app\.state\.(\w+)", text)) <= {room}
    assert not re.search(r"request\.state", text)
