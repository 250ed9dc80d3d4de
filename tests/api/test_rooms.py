"""The rooms of the API: each can be taken alone, and asks the application for no other's context."""

import ast
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


def asked_of_state(code):
    """What is asked of any `state`, by a dot or by `getattr`; None for a name that only the run knows."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=ast.Attribute(attr="state"), attr=name):
                yield name
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr"), args=[ast.Attribute(attr="state"), name, *_]
            ):
                yield name.value if isinstance(name, ast.Constant) else None


@pytest.mark.parametrize(
    "code",
    [
        "request.app.state.payments",
        'request.scope["app"].state.payments',
        'getattr(request.app.state, "payments")',
        "request.state.payments",
        "application.state.payments = 1",
    ],
)
def test_what_is_asked_of_a_state_would_be_found(code):
    assert list(asked_of_state(code)) == ["payments"]


# What refuses a request in the form of its caller, before any room is reached: `app.create_app` puts it there.
OF_ALL_ROOMS = {"http": {"refusal_fields", "refusal_pages"}}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_asks_for_its_own_context_alone(room):
    files = sorted((ROOT / "api" / room).glob("*.py"))
    asked = {name for path in files for name in asked_of_state(path.read_text(encoding="utf-8"))}
    assert asked <= {room} | OF_ALL_ROOMS.get(room, set())
    assert not any("request.state" in path.read_text(encoding="utf-8") for path in files)
