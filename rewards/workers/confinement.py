"""What a worker gives up before it runs a line of a reward's: descriptors, power over other processes, room.

Landlock (Linux 5.19, without any privilege) puts it and all that it starts into a domain of their own: no process
outside of it can be read (/proc/PID/environ, its memory, its descriptors) and, from Linux 6.12 on, none can be sent a
signal. Files and the network stay as they were.
"""

import ctypes
import os
import resource
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
OVER_OTHERS = (19, 21, 38)
"""CAP_SYS_PTRACE, CAP_SYS_ADMIN and CAP_PERFMON, with which root reads other processes whatever is in the way."""
CAPABILITY_VERSION = 0x20080522
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Numbers of Landlock's system calls, on every architecture."""
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
ACCESS_FS_REFER = 1 << 13
"""To move a file into another folder: any rule about files forbids it, unless it is allowed."""
SCOPE_SIGNAL = 1 << 1
FIRST_WITH_REFER, FIRST_WITH_SCOPES = 2, 6
"""Versions of Landlock's interface."""
MAX_DESCRIPTORS = 1024
MEMORY_RESERVE = 64 << 20
"""Bytes beyond the limit, with which a worker that reached it reports that."""
_libc = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Linux's prctl(2). OSError where it fails."""
    if _libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def close_descriptors(kept: int) -> None:
    """Close all that was inherited but input, output, errors and `kept`, which is inherited no further."""
    os.set_inheritable(kept, False)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            with suppress(OSError):  # the one that read the folder is closed already
                os.close(int(name))


def hide() -> None:
    """Let no other process of this user read the environment, memory and descriptors of this one; root still may."""
    prctl(PR_SET_DUMPABLE, 0)


def leave_others_alone() -> None:
    """Keep this process, and all that it will start, from reading other processes and from sending them signals.

    Where the kernel has no Landlock others cannot read this process, and that is all.
    """
    _give_up(OVER_OTHERS)
    if not _restrict(_landlock_version()):
        hide()


def _give_up(capabilities: Sequence[int]) -> None:
    """Have these capabilities no more, and get them by no program that is started; nobody but root has any."""
    for capability in capabilities:
        _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    header, sets = struct.pack("=Ii", CAPABILITY_VERSION, 0), ctypes.create_string_buffer(24)
    if _libc.capget(header, sets) == 0:
        # Effective, permitted and inheritable ones below 32, then those from 32 on.
        kept = list(struct.unpack("=6I", sets.raw))
        for capability in capabilities:
            high, bit = divmod(capability, 32)
            for place in range(3 * high, 3 * high + 3):
                kept[place] &= ~(1 << bit)
        _libc.capset(header, struct.pack("=6I", *kept))


def _landlock_version() -> int:
    """0 where there is none."""
    return max(0, int(_libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION)))


def _restrict(version: int) -> bool:
    """Enter a domain of our own, with what this version of Landlock has; whether that was possible."""
    if version < FIRST_WITH_REFER:
        return False
    has_scopes = version >= FIRST_WITH_SCOPES
    # Rights on files, on the network, scopes. Any of them makes a domain, which is what is wanted.
    rules = struct.pack("QQQ", 0, 0, SCOPE_SIGNAL) if has_scopes else struct.pack("Q", ACCESS_FS_REFER)
    ruleset = int(_libc.syscall(CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0))
    if ruleset < 0:
        return False
    try:
        if not has_scopes:
            root = os.open("/", os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("=Qi", ACCESS_FS_REFER, root)
            allowed = int(_libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0))
            os.close(root)
            if allowed < 0:
                return False
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        return int(_libc.syscall(RESTRICT_SELF, ruleset, 0)) == 0
    finally:
        os.close(ruleset)


def limit_descriptors() -> None:
    """At most `MAX_DESCRIPTORS` open at once, in this process and in each that it starts; no core files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = MAX_DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, MAX_DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))


def limit_room(memory_mib: int, file_mib: int) -> None:
    """What this process may allocate beyond what it has, and how large a file it, or one that it starts, may write."""
    # RLIMIT_DATA counts private writable memory. RLIMIT_AS would count the libraries that were mapped as well.
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (used,) = (line for line in status if line.startswith("VmData:"))
    limit = int(used.split()[1]) * 1024 + (memory_mib << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit + MEMORY_RESERVE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_mib << 20, file_mib << 20))
