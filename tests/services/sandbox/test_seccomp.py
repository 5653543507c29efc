"""The filter as the kernel would run it, for every machine and every number: what it lets through and what not."""

from __future__ import annotations

import errno
import re
import signal
import struct
from pathlib import Path

import pytest

from streamd.services.sandbox.seccomp import program
from streamd.services.sandbox.system_calls import COMPUTE, FORK, MACHINES, Machine

ALLOW, KILL_PROCESS, ERRNO = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
REFUSED = ERRNO | errno.EPERM
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
# <linux/sched.h>
CLONE_VM, CLONE_THREAD, CLONE_NEWUSER, CLONE_PARENT = 0x100, 0x10000, 0x1000_0000, 0x8000
FORKED = 0x0120_0000 | int(signal.SIGCHLD)


def verdict(filter_program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What a filter says of a call; struct seccomp_data is read as <linux/filter.h> has it."""
    words = (*arguments, *([0] * (6 - len(arguments))))
    data = struct.pack("=IIQ6Q", number, arch, 0, *words)
    instructions = list(struct.iter_unpack("=HBBI", filter_program))
    accumulator = at = 0
    while True:
        code, if_so, if_not, operand = instructions[at]
        at += 1
        match code:
            case 0x20:  # BPF_LD | BPF_W | BPF_ABS
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x15:  # BPF_JMP | BPF_JEQ | BPF_K
                at += if_so if accumulator == operand else if_not
            case 0x54:  # BPF_ALU | BPF_AND | BPF_K
                accumulator &= operand
            case 0x06:  # BPF_RET | BPF_K
                return int(operand)
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


@pytest.fixture(params=list(MACHINES.values()), ids=list(MACHINES))
def machine(request: pytest.FixtureRequest) -> Machine:
    found: Machine = request.param
    return found


class TestEveryNumber:
    @pytest.mark.parametrize("may_fork", [False, True])
    def test_is_allowed_or_refused(self, machine: Machine, may_fork: bool) -> None:
        filter_program = program(machine, may_fork=may_fork)
        wanted = {machine.numbers[name] for name in (*COMPUTE, *(FORK if may_fork else ())) if name in machine.numbers}
        allowed = {
            number
            for number in range(1024)
            # Arguments with which each call that has a condition fulfils it.
            for arguments in ((FORKED,), (0, 0, PROT_READ))
            if verdict(filter_program, machine.audit_arch, number, *arguments) == ALLOW
        }
        assert allowed == wanted

    def test_of_a_table_that_is_not_the_machines_ends_the_process(self, machine: Machine) -> None:
        i386, arm = 0x4000_0003, 0x4000_0028
        others = {other.audit_arch for other in MACHINES.values()} - {machine.audit_arch}
        for arch in (*others, i386, arm, 0):
            assert verdict(program(machine, may_fork=False), arch, machine.numbers["read"]) == KILL_PROCESS

    def test_of_x32_is_refused(self) -> None:
        """<asm/unistd.h>: the same machine, with a bit set in the number."""
        machine = MACHINES["x86_64"]
        x32 = 0x4000_0000
        for number in machine.numbers.values():
            assert verdict(program(machine, may_fork=True), machine.audit_arch, x32 | number) == REFUSED


class TestConditions:
    @pytest.mark.parametrize("name", ["mmap", "mprotect"])
    def test_memory_is_not_run(self, machine: Machine, name: str) -> None:
        filter_program, number = program(machine, may_fork=True), machine.numbers[name]
        for protection in range(16):
            said = verdict(filter_program, machine.audit_arch, number, 2**64 - 1, 4096, protection)
            assert said == (REFUSED if protection & PROT_EXEC else ALLOW)
        beyond_a_word = PROT_READ | PROT_WRITE | 1 << 32
        assert verdict(filter_program, machine.audit_arch, number, 0, 4096, beyond_a_word) == REFUSED

    def test_a_copy_is_no_thread_and_has_no_namespace_of_its_own(self, machine: Machine) -> None:
        filter_program, number = program(machine, may_fork=True), machine.numbers["clone"]
        assert verdict(filter_program, machine.audit_arch, number, FORKED) == ALLOW
        assert verdict(filter_program, machine.audit_arch, number, int(signal.SIGCHLD)) == ALLOW
        for flag in (CLONE_VM, CLONE_THREAD, CLONE_NEWUSER, CLONE_PARENT, 1 << 40):
            assert verdict(filter_program, machine.audit_arch, number, FORKED | flag) == REFUSED
        assert verdict(filter_program, machine.audit_arch, number, int(signal.SIGSTOP)) == REFUSED

    def test_flags_that_cannot_be_seen_are_asked_for_where_they_can(self, machine: Machine) -> None:
        number = machine.numbers["clone3"]
        assert verdict(program(machine, may_fork=True), machine.audit_arch, number) == ERRNO | errno.ENOSYS
        assert verdict(program(machine, may_fork=False), machine.audit_arch, number) == REFUSED


@pytest.mark.parametrize(
    ("machine_name", "header"),
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        # The table of all newer machines; what depends on the width of a word has a name with 3264 in it.
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_those_of_the_kernels_headers(machine_name: str, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"{header} is not installed")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", Path(header).read_text())
    numbers = {name: int(number) for name, number in found}
    ours = MACHINES[machine_name].numbers
    assert {name: numbers.get(name) for name in ours} == ours


def test_what_is_allowed_has_a_number_somewhere() -> None:
    known = {name for machine in MACHINES.values() for name in machine.numbers}
    assert {*COMPUTE, *FORK, "clone3"} <= known
    # One table has no "fork" and "dup2": there, they are made of others.
    assert known - MACHINES["aarch64"].numbers.keys() == {"fork", "dup2"}
