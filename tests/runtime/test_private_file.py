"""Who can read a file that holds a key: only this user, whatever else the mode bits seem to say."""

import grp
import os
import pwd
import struct

import pytest

from runtime.errors import OperatorError
from runtime.private_file import refuse_if_open

OURS, THEIRS, SHARED, UNKNOWN = 10001, 10002, 10003, 2_000_000_123


def entry(name, user, group):
    return pwd.struct_passwd((name, "x", user, group, "", "/", "/usr/sbin/nologin"))


@pytest.fixture
def users(monkeypatch):
    """We are pay402 with a group of our own; somebody else has one too, and both belong to a third."""
    everybody = [entry("root", 0, 0), entry("pay402", OURS, OURS), entry("other", THEIRS, THEIRS)]
    groups = {
        0: ("root", []),
        OURS: ("pay402", ["pay402"]),
        THEIRS: ("other", []),
        SHARED: ("shared", ["pay402", "other"]),
    }
    monkeypatch.setattr(pwd, "getpwall", lambda: everybody)
    monkeypatch.setattr(
        grp, "getgrgid", lambda group: grp.struct_group((groups[group][0], "x", group, groups[group][1]))
    )
    monkeypatch.setattr(os, "geteuid", lambda: OURS)


@pytest.fixture
def key(tmp_path, users):
    path = tmp_path / "key"
    path.write_text("secret")

    def given(mode, group):
        if os.getuid() != 0:
            pytest.skip("only root can give files away")
        os.chown(path, 0, group)
        path.chmod(mode)
        return path

    return given


@pytest.mark.parametrize(
    ("mode", "group"),
    [
        pytest.param(0o600, SHARED, id="no group reads it"),
        pytest.param(0o400, THEIRS, id="nor another's"),
        pytest.param(0o440, OURS, id="Kubernetes with fsGroup: root's, for our group"),
        pytest.param(0o440, 0, id="systemd with an access control list"),
        pytest.param(0o440, UNKNOWN, id="Kubernetes with a group that nobody has"),
    ],
)
def test_what_nobody_else_can_read_is_private(key, mode, group):
    refuse_if_open(key(mode, group), "KEY_FILE")


@pytest.mark.parametrize(
    ("mode", "group"),
    [
        pytest.param(0o440, SHARED, id="a group with somebody else in it"),
        pytest.param(0o440, THEIRS, id="somebody else's group"),
        pytest.param(0o444, OURS, id="everybody"),
        pytest.param(0o404, OURS, id="everybody but the group"),
        pytest.param(0o460, OURS, id="writable by the group"),
        pytest.param(0o402, OURS, id="writable by everybody"),
    ],
)
def test_what_somebody_else_can_read_or_change_is_refused(key, mode, group):
    with pytest.raises(OperatorError, match=rf"KEY_FILE names is open to other users \(mode {mode:o}\)"):
        refuse_if_open(key(mode, group), "KEY_FILE")


def access_list(*named):
    """As Linux keeps it, in the order of the tags: owner, named users, group, named groups, mask, others."""
    nobody = 0xFFFFFFFF
    entries = sorted([(0x01, 6, nobody), (0x04, 0, nobody), (0x10, 4, nobody), (0x20, 0, nobody), *named])
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)


@pytest.mark.parametrize(
    ("named", "private"),
    [
        ((0x02, 4, OURS), True),
        ((0x02, 4, THEIRS), False),
        ((0x08, 4, OURS), True),
        ((0x08, 4, SHARED), False),
        ((0x02, 0, THEIRS), True),
    ],
)
def test_an_access_control_list_is_read(key, named, private):
    path = key(0o400, 0)
    try:
        os.setxattr(path, "system.posix_acl_access", access_list(named))
    except OSError:
        pytest.skip("this file system keeps no access control lists")
    assert path.stat().st_mode & 0o040
    if private:
        refuse_if_open(path, "KEY_FILE")
    else:
        with pytest.raises(OperatorError):
            refuse_if_open(path, "KEY_FILE")


def test_a_file_that_is_not_there_is_the_caller_s_to_report(tmp_path):
    with pytest.raises(FileNotFoundError):
        refuse_if_open(tmp_path / "missing", "KEY_FILE")
