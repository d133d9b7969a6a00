"""Become another program, after tying this process to the life of the one that started it.

Run as a script with `python -I -S launch.py SIGNAL PARENT UID GID COMMAND…`; the process id stays.
On Linux the kernel sends SIGNAL when the parent dies, even when it was killed with -9. A UID of -1
keeps the user. It imports nothing of the project, so that it starts in milliseconds.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
SAME_USER = -1


def main(arguments: list[str]) -> None:
    death_signal, parent, uid, gid = (int(argument) for argument in arguments[:4])
    command = arguments[4:]
    if uid != SAME_USER:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # after the change of user, which clears it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
        if os.getppid() != parent:
            sys.exit(f"the process {parent} that wanted {command[0]} is gone")
    os.execv(command[0], command)  # noqa: S606 - becoming the command is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
