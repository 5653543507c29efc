"""The rights of a process: no root, no capability, no debugging of others, and an end with its parent."""

from __future__ import annotations

import contextlib
import os
import signal

from streamd.services.sandbox.kernel import give_up_capabilities, has_capabilities, prctl

# "nobody" on every Linux; also what a user namespace shows of users that it does not know.
NOBODY = 65534

# <linux/prctl.h>
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4


def give_up_rights() -> bool:
    """Become the user nobody if this is root, and give up all capabilities, now and for started programs.

    Returns:
        Whether it worked; in a container whose only user is root, root stays.
    """
    # It holds for started programs too, and Landlock and seccomp require it: set-user-ID programs give no rights any
    # more.
    with contextlib.suppress(OSError):
        prctl(PR_SET_NO_NEW_PRIVS, 1)
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    for give_up in (lambda: prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL), give_up_capabilities):
        # A service manager may forbid the call although no capability is left; only a capability that is left counts.
        with contextlib.suppress(OSError):
            give_up()
    try:
        return os.geteuid() != 0 and not has_capabilities() and prctl(PR_GET_NO_NEW_PRIVS) == 1
    except OSError:
        return False


def hide_and_die_with_parent() -> None:
    """Let no process of the same user read this one's memory, and end it when its parent ends.

    Becoming another user undoes both, so this comes after.
    """
    with contextlib.suppress(OSError):
        prctl(PR_SET_DUMPABLE, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
