"""What a child process does between fork and exec, and whether a process still lives.

Standard library only: the launcher uses it before anything is installed.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# The overflow user of Linux, called nobody: it owns nothing and exists everywhere.
NOBODY = 65534

_libc = ctypes.CDLL(None, use_errno=True)

# Constants of <sys/prctl.h>, <linux/sched.h> and <linux/capability.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CLONE_NEWUSER = 0x10000000
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1

BeforeExec = Callable[[], None]


def die_with_parent(signal_number: signal.Signals) -> BeforeExec:
    """A `preexec_fn` that has the kernel signal the child when its parent is gone, even by SIGKILL.

    Linux counts the *thread* that spawned the child as its parent, so spawn from one that stays.
    macOS has nothing alike; there leftovers are cleared by the next start.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if sys.platform == "linux":
            _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0))
            if os.getppid() != parent:
                os._exit(1)

    return before_exec


def enter_user_namespace() -> None:
    """Become nobody in a namespace of one user: outside, what it writes stays its owner's.

    Needs no second user, no chown and no chmod. Some container runtimes refuse it.
    """
    uid, gid = os.getuid(), os.getgid()
    _check(_libc.unshare(_CLONE_NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1")


def become_nobody() -> None:
    """Turn root into nobody, keeping only the right to read and write any file.

    With that right the programs and the data may stay where they are, below root's own directory.
    """
    _check(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    mask = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(
        mask, mask, mask, 0, 0, 0
    )  # effective, permitted, inheritable; then high bits
    _check(_libc.capset(header, sets))
    _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def group_members(groups: set[int]) -> list[int]:
    """Every living process of these process groups, also those whose leader is gone."""
    if sys.platform == "linux":
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    else:
        pids = list(map(int, subprocess.check_output(["ps", "-axo", "pid="], text=True).split()))
    members = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) in groups:
                members.append(pid)
    return members


def command_line(pid: int) -> str:
    """What process `pid` was started with, by which to know it again; empty when it is gone.

    A number alone says nothing: after a crash or a reboot it may belong to anybody.
    """
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
        except (FileNotFoundError, ProcessLookupError):
            return ""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()
