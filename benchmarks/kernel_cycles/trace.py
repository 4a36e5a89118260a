"""The instructions that a kernel runs, followed one by one on any CPU (Linux, x86-64)."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PEEKUSER, _POKEUSER, _CONT, _SINGLESTEP = 3, 6, 7, 9
_RIP = 128  # of struct user
_LINE = re.compile(r"^\s*([0-9a-f]+):\t((?:[0-9a-f]{2} )+)\s*(?:\t(\S+)\s*(.*))?$")


@dataclass(frozen=True)
class Instruction:
    """One line of the disassembly: its name, its operands in AT&T's order, its bytes."""

    name: str
    operands: str
    size: int


def disassemble(program: Path) -> dict[int, Instruction]:
    """Return the instructions of a program that lies where its file says, by their addresses."""
    text = subprocess.run(
        ["objdump", "-d", "--wide", program], check=True, capture_output=True, text=True
    ).stdout
    return parse(text)


def parse(disassembly: str) -> dict[int, Instruction]:
    r"""Return the instructions of objdump's output, by their addresses.

    Examples
    --------
    >>> parse("  401000:\t62 f1 7c 48 58 c1 \tvaddps %zmm1,%zmm0,%zmm0")
    {4198400: Instruction(name='vaddps', operands='%zmm1,%zmm0,%zmm0', size=6)}
    """
    found = {}
    for line in disassembly.splitlines():
        match = _LINE.match(line)
        if not match or not match[3]:
            continue
        operands = match[4].split("#")[0].split("<")[0].strip()
        size = len(match[2].split())
        found[int(match[1], 16)] = Instruction(match[3], operands, size)
    return found


class _Ptrace:
    def __init__(self) -> None:
        self._call = ctypes.CDLL(None, use_errno=True).ptrace
        self._call.restype = ctypes.c_long
        self._call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def __call__(self, request: int, pid: int, address: int = 0, data: int = 0) -> int:
        ctypes.set_errno(0)
        found = int(self._call(request, pid, address, data))
        if found == -1 and ctypes.get_errno():
            raise OSError(ctypes.get_errno(), "ptrace")
        return found


def follow(
    program: Path, arguments: Sequence[str], code: dict[int, Instruction]
) -> Iterator[Instruction]:
    """Run a program that lets itself be traced, and yield what it does between two breakpoints.

    Tile instructions, which the CPU need not have, are passed over.
    """
    ptrace = _Ptrace()
    child = subprocess.Popen([program, *arguments], stdin=subprocess.DEVNULL)
    try:
        yield from _between(ptrace, child.pid, code)
    finally:
        child.kill()
        child.wait()


def _between(ptrace: _Ptrace, pid: int, code: dict[int, Instruction]) -> Iterator[Instruction]:
    def wait() -> int:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            raise RuntimeError(f"the traced program ended, status {status}")
        return os.WSTOPSIG(status)

    def rip() -> int:
        return ptrace(_PEEKUSER, pid, _RIP)

    def pass_over(at: int) -> None:
        ptrace(_POKEUSER, pid, _RIP, at + code[at].size)

    wait()  # it stops itself once it is traced
    ptrace(_CONT, pid)
    while (stopped := wait()) != signal.SIGTRAP:
        at = rip()
        if stopped != signal.SIGILL:
            raise RuntimeError(f"signal {stopped} at {at:#x}")
        if not is_of_tiles(code[at].name):
            raise RuntimeError(f"this CPU has no {code[at].name}")
        pass_over(at)
        ptrace(_CONT, pid)
    while (at := rip()) in code and code[at].name != "int3":
        yield code[at]
        if is_of_tiles(code[at].name):
            pass_over(at)
            continue
        ptrace(_SINGLESTEP, pid)
        if wait() != signal.SIGTRAP:
            raise RuntimeError(f"stopped at {at:#x}")


def is_of_tiles(name: str) -> bool:
    """Return whether an instruction is one of AMX.

    Examples
    --------
    >>> is_of_tiles("tdpbssd"), is_of_tiles("tileloadd"), is_of_tiles("test")
    (True, True, False)
    """
    return name.startswith(("tile", "tdp", "ldtilecfg", "sttilecfg"))
