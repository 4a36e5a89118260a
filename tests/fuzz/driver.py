"""What the fuzzers in Python share: seeds, time, counts, and the report of what was found."""

from __future__ import annotations

import argparse
import faulthandler
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from random import Random

__all__ = ["ALLOWED", "Reached", "check_text", "main"]

ALLOWED_NAMES = "ValueError, TypeError, OSError, UnsupportedError"
MOST_SECONDS = 60  # of one input
ROOM = 8 << 30  # bytes of address space: an input that asks for more is a fault


class Reached(IntEnum):
    """How far an input got."""

    NOTHING = 0
    HEADER = 1  # its outermost form was read
    ALL = 2  # it was accepted, and what it holds was used


def allowed() -> tuple[type[BaseException], ...]:
    """Return the exceptions that users are told of."""
    from slidecell import UnsupportedError

    return (ValueError, TypeError, OSError, UnsupportedError)


ALLOWED = allowed()


# Of errors that Python, pybind11 or numpy raised before the package looked at what came.
RAW = (
    "incompatible function arguments",
    "object is not",
    "unhashable type",
    "not supported between",
    "unsupported operand",
    "has no attribute",
    "required positional argument",
    "unexpected keyword argument",
    "could not be broadcast",
    "ufunc",
)


def check_text(error: BaseException) -> None:
    """Refuse an exception of a documented type whose text was written for nobody."""
    text = str(error)
    if "not an estimator, or damaged: " in text:  # scikit-learn's and skops's own words
        return
    if not text or any(words in text for words in RAW):
        raise AssertionError(f"a raw {type(error).__name__}: {text}") from error


@dataclass
class Counts:
    """Inputs of a run, and how far they got."""

    inputs: int = 0
    header: int = 0
    accepted: int = 0
    faults: int = 0

    def __str__(self) -> str:
        def share(n: int) -> str:
            return f"{n} ({100 * n / max(1, self.inputs):.1f} %)"

        return (
            f"counts: inputs {self.inputs}, past header {share(self.header)}, "
            f"accepted {share(self.accepted)}, faults {self.faults}"
        )


def main(name: str, one: Callable[[Random], Reached], arguments: list[str] | None = None) -> int:
    """Run a fuzzer for some seconds or inputs; return 1 if something was found, else 0.

    Parameters
    ----------
    name : str
        Of the module.
    one : callable
        Makes one input from the random numbers, uses it, and says how far it got. An exception that
        leaves it is a fault.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--inputs", type=int, default=sys.maxsize, help="at most")
    parser.add_argument("--seed", type=int, help="default: a new one, which is printed")
    parser.add_argument("--only", type=int, help="the one input of this number")
    parser.add_argument("--most-faults", type=int, default=1, help="stop at so many")
    given = parser.parse_args(arguments)
    seed = int.from_bytes(os.urandom(4), "little") if given.seed is None else given.seed
    print(f"{name}: seed {seed}", flush=True)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, resource.getrlimit(resource.RLIMIT_AS)[1]))
    counts = Counts()
    start = time.monotonic()
    seen: set[str] = set()
    number = 0 if given.only is None else given.only
    while counts.inputs < given.inputs and time.monotonic() - start < given.seconds:
        counts.inputs += 1
        faulthandler.dump_traceback_later(MOST_SECONDS, exit=True)
        try:
            reached = one(Random(f"{seed}-{number}"))
            counts.header += reached >= Reached.HEADER
            counts.accepted += reached >= Reached.ALL
        except Exception as error:
            text = traceback.format_exc()
            place = " ".join(text.splitlines()[-4:-1])
            if place not in seen:
                seen.add(place)
                counts.faults += 1
                print(text[-4000:])
                print(f"{name}: FOUND {type(error).__name__}; only {ALLOWED_NAMES} are documented.")
                print(f"Repeat: python -m {name} --seed {seed} --only {number}", flush=True)
        if given.only is not None or counts.faults >= given.most_faults:
            break
        number += 1
    faulthandler.cancel_dump_traceback_later()
    print(f"{name}: {counts}, {time.monotonic() - start:.0f} s", flush=True)
    return int(counts.faults > 0)
