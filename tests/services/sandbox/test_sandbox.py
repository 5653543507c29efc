"""Each layer by itself, and all together: attempts of a real process, each of which succeeds where it is not locked."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamd.services.sandbox import Layer, landlock
from streamd.services.sandbox.system_calls import MACHINES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock and seccomp are Linux's")

MEMORY_BYTES = 512 * 1024 * 1024
HAS_SECCOMP = os.uname().machine in MACHINES

LOCKS = {
    "nothing": "",
    "Landlock": "rights.prctl(rights.PR_SET_NO_NEW_PRIVS, 1); landlock.refuse_everything()",
    "seccomp": "rights.prctl(rights.PR_SET_NO_NEW_PRIVS, 1); seccomp.allow_little(may_fork=False)",
    "everything": f"Sandbox(memory_bytes={MEMORY_BYTES}).lock()",
}
LANDLOCK, SECCOMP = "Landlock", "seccomp"


@dataclass(frozen=True)
class Attempt:
    """Something that a process tries: Python, with ``place`` (a directory), ``port`` and ``victim`` (a process)."""

    code: str
    refused_by: tuple[str, ...] = (SECCOMP,)
    landlock_version: int = 1
    """From which Landlock refuses it."""


ATTEMPTS = {
    "read a file": Attempt("open(place + '/there').read()", (LANDLOCK, SECCOMP)),
    "write to a file": Attempt("open(place + '/there', 'w').close()", (LANDLOCK, SECCOMP)),
    "make a file": Attempt("open(place + '/new', 'x').close()", (LANDLOCK, SECCOMP)),
    "truncate a file": Attempt("os.truncate(place + '/there', 0)", (LANDLOCK, SECCOMP), 3),
    "remove a file": Attempt("os.unlink(place + '/there')", (LANDLOCK, SECCOMP)),
    "rename a file": Attempt("os.rename(place + '/there', place + '/elsewhere')", (LANDLOCK, SECCOMP)),
    "make a directory": Attempt("os.mkdir(place + '/inner')", (LANDLOCK, SECCOMP)),
    "list a directory": Attempt("os.listdir(place)", (LANDLOCK, SECCOMP)),
    "read about itself": Attempt("open('/proc/self/maps').read()", (LANDLOCK, SECCOMP)),
    "read about its parent": Attempt("open(f'/proc/{os.getppid()}/status').read()", (LANDLOCK, SECCOMP)),
    "look at a file": Attempt("os.stat(place + '/there')"),
    "change who may read a file": Attempt("os.chmod(place + '/there', 0o777)"),
    "connect to a port": Attempt(
        "socket.socket().connect(('127.0.0.1', port))", (LANDLOCK, SECCOMP), landlock_version=4
    ),
    "bind a port": Attempt("socket.socket().bind(('127.0.0.1', 0))", (LANDLOCK, SECCOMP), landlock_version=4),
    "connect to a Unix socket": Attempt("socket.socket(socket.AF_UNIX).connect(place + '/socket')"),
    "connect to an abstract Unix socket": Attempt(
        "socket.socket(socket.AF_UNIX).connect('\\0' + place)", (LANDLOCK, SECCOMP), landlock_version=6
    ),
    "have a socket": Attempt("socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"),
    "start a program": Attempt("subprocess.run(['/bin/true'], check=True)"),
    "become a program": Attempt("os.execv('/bin/echo', ['echo', 'done'])", (LANDLOCK, SECCOMP)),
    "fork": Attempt("os.fork() or os._exit(0)"),
    "start a thread": Attempt("threading.Thread(target=int).start()"),
    "signal another process": Attempt("os.kill(victim, signal.SIGCONT)", (LANDLOCK, SECCOMP), landlock_version=6),
    "be traced": Attempt("called(libc.ptrace(0, 0, 0, 0))"),
    "run what was written": Attempt("mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)"),
    "turn what was written into a program": Attempt("called(libc.mprotect(aligned(), 4096, 5))"),
    "have a file of memory": Attempt("os.memfd_create('m')"),
    "wait on many descriptors": Attempt("select.epoll()"),
    "sleep": Attempt("called(libc.usleep(1))"),
    "know the machine": Attempt("os.uname()"),
}

PROGRAM = """
import ctypes, mmap, os, select, signal, socket, subprocess, sys, threading
from streamd.services.sandbox import Sandbox
from streamd.services.sandbox import landlock
from streamd.services.sandbox import rights
from streamd.services.sandbox import seccomp
place, port, victim = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
page = mmap.mmap(-1, 4096)
def aligned():
    return ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page)))
def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
sys.stdout.write("")
{lock}
try:
    {attempt}
except Exception as exc:
    print(type(exc).__name__, flush=True)
else:
    print("done", flush=True)
os._exit(0)
"""


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[list[str]]:
    """What there is to be reached: files, sockets, a process."""
    # All may read it, so that it is not for its mode that it is not read.
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    (tmp_path / "there").write_text("secret")
    with (
        socket.create_server(("127.0.0.1", 0)) as port,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
        subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as victim,
    ):
        unix.bind(str(tmp_path / "socket"))
        abstract.bind(f"\0{tmp_path}")
        for listener in (unix, abstract):
            listener.listen()
        yield [str(tmp_path), str(port.getsockname()[1]), str(victim.pid)]
        victim.communicate()


def result_of(attempt: str, lock: str, surroundings: list[str]) -> str:
    """``done``, or the kind of error."""
    program = PROGRAM.format(lock=lock, attempt=attempt)
    done = subprocess.run(
        [sys.executable, "-c", program, *surroundings],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("what", ATTEMPTS)
def test_what_a_process_may_do_it_may_not_when_it_is_locked(what: str, surroundings: list[str]) -> None:
    attempt = ATTEMPTS[what]
    locks = ["everything"] if HAS_SECCOMP else []
    locks += [SECCOMP] if HAS_SECCOMP and SECCOMP in attempt.refused_by else []
    locks += [LANDLOCK] if LANDLOCK in attempt.refused_by and landlock.version() >= attempt.landlock_version else []
    if not locks:
        pytest.skip("this kernel has neither Landlock nor a filter that is known here")
    # The locked ones first: the last attempt changes what is there.
    refused = {lock: result_of(attempt.code, LOCKS[lock], surroundings) for lock in locks}
    assert set(refused.values()) <= {"PermissionError", "RuntimeError"}, refused
    assert result_of(attempt.code, LOCKS["nothing"], surroundings) == "done"


class TestLimits:
    def test_of_memory(self, surroundings: list[str]) -> None:
        attempt = f"bytearray({MEMORY_BYTES})"
        assert result_of(attempt, LOCKS["everything"], surroundings) == "MemoryError"
        assert result_of(attempt, LOCKS["nothing"], surroundings) == "done"

    def test_of_processor_time(self) -> None:
        lock = f"from streamd.services.sandbox import Sandbox; Sandbox(memory_bytes={MEMORY_BYTES}, cpu_s=1).lock()"
        done = subprocess.run(
            [sys.executable, "-c", f"{lock}\nwhile True: pass"],
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            timeout=60,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL

    def test_hold_without_any_other_layer(self, surroundings: list[str]) -> None:
        limited = (
            "from streamd.services.sandbox import limits\n"
            "written = open(place + '/written', 'wb', 0)\n"
            f"limits.limit(memory_bytes={MEMORY_BYTES}, cpu_s=None, open_files=0, may_fork=False)"
        )
        for attempt in ("open(place + '/there')", "socket.socket()", "os.pipe()", "written.write(b'x')"):
            assert result_of(attempt, limited, surroundings) == "OSError"
        assert result_of("bytearray(1 << 30)", limited, surroundings) == "MemoryError"

    def test_cannot_be_raised_again(self, surroundings: list[str]) -> None:
        # As root it could, until it is nobody.
        lock = f"import resource\nSandbox(memory_bytes={MEMORY_BYTES}, may_fork=True).lock()"
        raised = "resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))"
        assert result_of(raised, lock, surroundings) in ("ValueError", "PermissionError")


def locked_status(expression: str) -> str:
    """What an expression is in a process that is locked but may still fork, and so asks the kernel a little more."""
    program = (
        "import ctypes, os; from streamd.services.sandbox import Sandbox, rights\n"
        f"layers = Sandbox(memory_bytes={MEMORY_BYTES}, open_files=9, may_fork=True).lock()\n"
        f"print(repr({expression}), flush=True)"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()


class TestWhoItIs:
    def test_it_is_not_root_and_cannot_become_more_than_it_is(self) -> None:
        assert locked_status("os.geteuid() != 0") == "True"
        assert locked_status("rights.prctl(rights.PR_GET_NO_NEW_PRIVS)") == "1"

    def test_nobody_of_the_same_user_reads_its_memory(self) -> None:
        pr_get_dumpable = 3
        assert locked_status(f"rights.prctl({pr_get_dumpable})") == "0"

    def test_it_does_not_outlive_its_parent(self) -> None:
        pr_get_pdeathsig = 2
        signal_of_death = (
            "[number.value for number in [ctypes.c_int()]"
            f" if not ctypes.CDLL(None).prctl({pr_get_pdeathsig}, ctypes.byref(number))]"
        )
        assert locked_status(signal_of_death) == f"[{int(signal.SIGKILL)}]"

    def test_no_descriptor_is_left_but_those_of_standard_input_and_output(self, surroundings: list[str]) -> None:
        kept = "kept = os.open(place + '/there', os.O_RDONLY)\n"
        assert result_of("os.read(kept, 1)", kept + LOCKS["everything"], surroundings) == "OSError"
        assert result_of("os.read(kept, 1)", kept + LOCKS["nothing"], surroundings) == "done"


def test_it_says_which_layers_hold() -> None:
    held = Layer(int(locked_status("int(layers)")))
    assert held & (Layer.LIMITS | Layer.USER) == Layer.LIMITS | Layer.USER
    assert (Layer.CALLS in held) == HAS_SECCOMP
    assert (Layer.FILES in held) == (landlock.version() >= 1)
    assert (Layer.NETWORK in held) == (landlock.version() >= 4)
    assert (Layer.SIGNALS in held) == (landlock.version() >= 6)


@pytest.mark.skipif(not HAS_SECCOMP, reason="the filter knows no numbers of this machine")
def test_it_locks_what_it_can_where_a_service_manager_forbids_the_rest(surroundings: list[str]) -> None:
    """systemd 252 has seccomp(2) and Landlock in none of the groups of our unit, and capset in one that it refuses."""
    refused = """
def refuse(*_):
    raise PermissionError
seccomp.system_call = landlock.system_call = rights.give_up_capabilities = refuse
"""
    layers = result_of(
        "raise SystemExit(print(layers.words, flush=True))", f"{refused}layers = {LOCKS['everything']}", surroundings
    )
    assert layers == "limits, user, calls"
    assert result_of("os.fork() or os._exit(0)", refused + LOCKS["everything"], surroundings) == "PermissionError"


def test_layers_have_words() -> None:
    assert (Layer.LIMITS | Layer.CALLS).words == "limits, calls"
    assert Layer(0).words == ""
    assert (~Layer.LIMITS).words == "user, files, network, signals, calls"
