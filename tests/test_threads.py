"""Threads and processes: calls whose threads are refused, forked, shared or interrupted."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

import slidecell as sc

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")

MODEL = """
import os, resource, signal, sys, threading, warnings
import numpy as np
import slidecell as sc

def make_model(window=5, hidden=4):
    rng = np.random.default_rng(0)
    shapes = {"encoder.0.weight_ih_l0": (4 * hidden, 2), "encoder.0.bias_ih_l0": (4 * hidden,),
              "encoder.0.weight_hh_l0": (4 * hidden, hidden),
              "encoder.0.bias_hh_l0": (4 * hidden,), "head.weight": (2, hidden), "head.bias": (2,)}
    weights = {name: rng.uniform(-0.4, 0.4, shape) for name, shape in shapes.items()}
    layer = {"cell": "lstm", "input_size": 2, "hidden_size": hidden, "proj_size": 0,
             "bidirectional": False, "activation": "tanh", "recurrent_activation": "sigmoid",
             "reset_after": True}
    metadata = {"window": window, "horizon": 1, "encoder": [layer], "decoder": []}
    return sc.SequenceModel(metadata, weights)

model = make_model()
"""


def run_python(code: str, *, timeout: float = 60) -> str:
    """Run `code` in a new interpreter, after MODEL, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", MODEL + code],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


REFUSED = """
X = np.random.default_rng(0).normal(size=(200_000, 2)).astype("f4")
right, out = model.score(X, num_threads=1), np.empty(len(X), "f4")
if {processes}:
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)  # root has no such limit
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
else:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 6 * 2**20,) * 2)  # less than a stack
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for threads in (8, 200_000):
        assert np.array_equal(model.score(X, num_threads=threads, out=out), right, equal_nan=True)
assert [w.category for w in said] == [RuntimeWarning], said
assert "num_threads: the system had fewer threads than asked" in str(said[0].message)
print("went on")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")
@pytest.mark.parametrize("limit", ["processes", "memory"])
def test_a_call_goes_on_with_the_threads_that_it_gets(limit: str) -> None:
    """No more threads to be had: one warning, the same scores."""
    code = REFUSED.replace("{processes}", str(limit == "processes"))
    assert run_python(code) == "went on\n"


def test_more_threads_than_a_machine_can_have_are_clamped() -> None:
    assert run_python("print(model.plan(num_threads=200_000)['threads'])") == "1024\n"


FORKED_HELPER = """
X = np.random.default_rng(0).normal(size=(300, 2)).astype("f4")
warnings.simplefilter("ignore")  # Python 3.12 warns of a fork in a process with threads
for model in (make_model(), make_model(window=30, hidden=64)):
    right = model.score(X, kernel="fma", num_threads=1)
    for what in ("pushes", "drops", "turns it off", "turns it on"):
        stream = model.stream()
        stream.set_background(True)
        for row in X[:150]:
            stream.push(row)
        child = os.fork()
        if what == "turns it on":
            stream.set_background(True)
        elif what == "turns it off":
            stream.set_background(False)
        elif what == "drops" and child == 0:
            del stream
            os._exit(0)
        got = np.float32([stream.push(row) for row in X[150:200]])
        stream.advance()
        got = np.append(got, [np.float32(stream.push(row)) for row in X[200:220]])
        same = np.array_equal(got, right[150:220])
        if child == 0:
            os._exit(0 if same else 3)
        assert same and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, what
print("went on")
"""


@posix
def test_a_child_forked_beside_a_helper_thread_goes_on() -> None:
    """The child has no helper: it pushes the right scores without, or with one of its own."""
    assert run_python(FORKED_HELPER) == "went on\n"


FORKED_THREADS = """
X = np.random.default_rng(0).normal(size=(50_000, 2)).astype("f4")
warnings.simplefilter("ignore")
right = model.score(X, num_threads=4)
child = os.fork()
same = np.array_equal(model.score(X, num_threads=4), right, equal_nan=True)
if child == 0:
    threads = len(os.listdir("/proc/self/task"))
    os._exit(0 if same and threads == 4 else 3)
assert same and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("went on")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_a_forked_child_starts_threads_of_its_own() -> None:
    assert run_python(FORKED_THREADS) == "went on\n"


INTERRUPTED = """
class Stop(Exception):
    pass

def stop(*_):
    raise Stop

signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.3)
long = make_model(window=500, hidden=64)
try:
    long.{method}(np.zeros((2_000_000, 2), "f4"), num_threads={threads})
except Stop:
    print("stopped")
assert np.array_equal(model.score(np.zeros((90, 2), "f4"), num_threads=2)[5:], np.full(
    85, model.score(np.zeros((6, 2), "f4"))[5]))
"""


@posix
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("method", ["score", "predict", "encode"])
def test_a_signal_ends_a_long_call(method: str, threads: int) -> None:
    """The call would take minutes; the exception of the handler comes out of it at once."""
    code = INTERRUPTED.replace("{method}", method).replace("{threads}", str(threads))
    assert run_python(code) == "stopped\n"


INTERRUPTED_FORWARD = """
def stop(*_):
    raise InterruptedError

lstm = sc.LSTM(1, 256, bias=False)
lstm.load_state_dict({"weight_ih": np.ones((1024, 1)), "weight_hh": np.ones((1024, 256))})
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    lstm.forward(np.zeros((8_000, 100, 1), "f4"), num_threads=2)
except InterruptedError:
    print("stopped")
"""


@posix
def test_a_signal_ends_a_long_forward() -> None:
    assert run_python(INTERRUPTED_FORWARD) == "stopped\n"


FORKED_INSIDE = """
class Stop(Exception):
    pass

def fork(*_):
    global child
    child = os.fork()
    raise Stop

warnings.simplefilter("ignore")
X, right = np.zeros((90, 2), "f4"), model.score(np.zeros((90, 2), "f4"), num_threads=1)
signal.signal(signal.SIGALRM, fork)
signal.setitimer(signal.ITIMER_REAL, 0.1)
slow = make_model(window=200, hidden=64)
try:
    slow.score(np.zeros((2_000_000, 2), "f4"), num_threads=2)
except (Stop, RuntimeError) as error:
    said = str(error)
good = np.array_equal(model.score(X, num_threads=2), right, equal_nan=True)
if child == 0:
    os._exit(0 if good and said.startswith("fork: expected none") else 3)
assert good and said == ""
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("went on")
"""


@posix
def test_a_child_forked_inside_a_call_gets_an_error() -> None:
    """A signal's handler forks: the child lacks the call's threads, and says so."""
    assert run_python(FORKED_INSIDE) == "went on\n"


SHARED = """
import time
stream = model.stream(64)
ids, X = np.tile(np.arange(64), 64), np.zeros((64 * 64, 2), "f4")
taken, said, end = [0, 0, 0], set(), time.monotonic() + 0.5
calls = [lambda: stream.push(X[0], 3), lambda: stream.push_many(ids, X, num_threads=2)]

def look():
    while time.monotonic() < end:
        for call in (lambda: stream.__reduce__(), lambda: stream.rows_seen(3)):
            try:
                call()
            except RuntimeError as e:
                said.add(str(e))

def use(k):
    while time.monotonic() < end:
        try:
            calls[k % 2]()
            taken[k] += len(X) if k % 2 else 1
        except RuntimeError as e:
            said.add(str(e))

threads = [threading.Thread(target=use, args=(k,)) for k in range(3)]
threads.append(threading.Thread(target=look))
for t in threads: t.start()
for t in threads: t.join()
assert sum(stream.rows_seen(e) for e in range(64)) == sum(taken)
print(*said, sep="\\n")
"""


def test_threads_that_share_a_stream_get_an_error() -> None:
    """A call that meets another one on the same stream takes no row and says what to do."""
    (said,) = run_python(SHARED).splitlines()
    assert said.startswith("stream: expected one thread at a time")


SUB_INTERPRETER = """
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
code = '''
import sys
try:
    import slidecell
except ImportError as error:
    print(error, flush=True)
'''
interpreters.run_string(interpreters.create(), code)
"""


def test_a_sub_interpreter_gets_an_import_error() -> None:
    """Before this the import waited for ever."""
    code = SUB_INTERPRETER
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "slidecell: expected the main interpreter" in done.stdout, done.stderr
    assert done.returncode == 0, done.stderr


def test_calls_of_several_threads_share_the_workers() -> None:
    """Callers at the same time do not wait for, or disturb, each other."""
    x = np.random.default_rng(0).normal(size=(40_000, 3)).astype("f4")
    right = sc.sliding_windows(x, window=20, num_threads=1)[0]
    same = []

    def gather() -> None:
        for _ in range(3):
            same.append(np.array_equal(sc.sliding_windows(x, window=20, num_threads=3)[0], right))

    callers = [threading.Thread(target=gather) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert same == [True] * 9
