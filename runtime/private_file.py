"""A file that holds a key: whether anybody but this process's user can read it.

Mode bits alone do not say so. Kubernetes gives a mounted secret to the pod's own group, systemd gives a credential to
its unit's user by an access control list, which shows as bits of the group; both are as private as mode 400. So what
counts is who belongs to whom a file is open.
"""

import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runtime.errors import OperatorError

# Linux keeps a file's list of named users and groups in this attribute: a version, then tag, rights and id of each.
_ACCESS_LIST: Final = "system.posix_acl_access"
_HEADER_BYTES: Final = 4
_ENTRY: Final = struct.Struct("<HHI")
_NAMED_USER, _NAMED_GROUP = 0x02, 0x08


def refuse_if_open(path: Path, variable: str) -> None:
    """Pass when nobody but this user and root can read `path`, which `variable` names.

    Raises:
        OperatorError: Others can, or may write to it.
        OSError: It cannot be examined.
    """
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    beyond_reading = mode & (stat.S_IWGRP | stat.S_IXGRP)
    if mode & stat.S_IRWXO or beyond_reading or (mode & stat.S_IRGRP and not _is_ours_alone(path, found.st_gid)):
        raise OperatorError(
            f"The file that {variable} names is open to other users (mode {mode:o}); "
            "restrict it with chmod 600 and, if others may have read it, replace the key."
        )


def _is_ours_alone(path: Path, group: int) -> bool:
    users, groups = set(_members(group)), set()
    for tag, one in _named_in_access_list(path):
        if tag == _NAMED_USER:
            users.add(one)
        elif tag == _NAMED_GROUP:
            groups.add(one)
    users.update(member for one in groups for member in _members(one))
    # Root can read whatever it likes.
    return users <= {os.geteuid(), 0}


def _members(group: int) -> Iterator[int]:
    """Users who belong to a group, by their first group or by its list; nobody where the system knows none such."""
    everybody = pwd.getpwall()
    try:
        listed = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        listed = set()
    return (user.pw_uid for user in everybody if user.pw_gid == group or user.pw_name in listed)


def _named_in_access_list(path: Path) -> Iterator[tuple[int, int]]:
    try:
        entries = os.getxattr(path, _ACCESS_LIST)[_HEADER_BYTES:]
    except (OSError, AttributeError):
        return  # this file, file system or operating system has no such lists
    for tag, rights, one in _ENTRY.iter_unpack(entries):
        if rights and tag in {_NAMED_USER, _NAMED_GROUP}:
            yield tag, one
