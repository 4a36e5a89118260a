"""The least time per window: counts over what the machine was measured to do.

A window of a network costs multiply-adds and sets of activations, and reads operands.

* **Multiply-adds.** Recurrent products of steps 2 to W (h is zero in the first); the input
  projection of the lowest layer once per *row*, of a layer above once per step, of a decoder's
  lowest layer once per window; the head once per window, for an autoencoder once per step. On bf16
  units a float32 multiply-add takes 1 ("medium"), 3 ("high") or 6 ("highest") of theirs. They are
  divided by the peak of the unit: independent products in registers. With 8-bit codes ("low") the
  recurrent products alone are theirs; projections and head take float32's.
* **Sets of activations**, W per unit: all activations of one unit at one step. Their cost is that
  of the project's own functions on independent cells, from and to the L1 cache: one after the
  other, or by the kernels' step without its products, whichever is faster. Matrix kernels have
  their own, for sums that are scaled already; at "medium" these are rough. A set of "low" holds
  the coding of h and the scaling of sums, too; up to a window of 32 rows all its gates are coarse.
  What a better approximation would save is not seen here.
* **Operands** from the L1 cache, for the register tile that needs the fewest loads; a broadcast
  counts as a whole vector, whose port it occupies. From the L2 cache, weights beyond the L1 cache,
  read once a step by as many windows as have their h in half of it.

* **Carried states** (``windows="carried"``): a chain of a block of B windows takes W - 1 rows of
  warming up and a row for each window, (W + B - 1) / B steps a window, of which the first one has
  no recurrent product. A chain projects every row that it takes. Head as before. (`flag` has a
  step and a window more for each block: its seam.)

**What adds, what overlaps.** Activations and products on vector registers share the multiply-add
pipes, and add; but part of an activation (additions, minima, shifts, divisions) runs on other pipes
at the same time. So a set is measured twice: alone, and *beside* independent multiply-adds, as what
it adds to their time. The least time takes the lower of both, `in_turn` takes sets alone: what a
kernel reaches that never mixes the two. AMX tiles are a unit of their own: there the longer of
their products and of all else counts. Loads have their own pipes: L1 and L2 bind only where their
time is longer than all that.

**Not counted**: transposing and casting rows, writing scores, squared errors, conversions of h to
bf16, h and c as they pass through the caches, lanes of the last vector beyond the last window, and
rows that two tiles both project. Nor that the first step needs no forget gate. So no kernel reaches
its least time; where 100 % is passed, a cell function was scheduled better than in the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from slidecell._cells import CELLS, CellName

PRECISIONS = ("highest", "high", "medium", "low")
# bf16 parts of a float32 number, and the products of parts that are added up.
PARTS = {"highest": 3, "high": 2, "medium": 1}
BF16_PRODUCTS = {"highest": 6, "high": 3, "medium": 1}

FAMILIES = ("fma", "bf16", "amx", "int8", "int8 amx")
ON_TILES = ("amx", "int8 amx")
OF_CODES = ("int8", "int8 amx")
COARSE_WINDOW = 32  # rows of the longest window whose gates are all coarse at "low"
PROBED = ("lstm", "gru")  # cells whose activations the probes time
TILE = 16  # rows and columns of an AMX tile of sums
TILE_BYTES = 64  # in a row of a tile of bf16 numbers or codes


@dataclass(frozen=True)
class Layer:
    """One layer, and how often its input is projected per window."""

    cell: CellName
    input_size: int
    hidden_size: int
    projections: float

    @property
    def gates(self) -> int:
        """Rows of weights per unit."""
        return CELLS[self.cell].gates

    @property
    def weights(self) -> int:
        """Weights that every step reads: those of upper layers' inputs among them."""
        size = self.hidden_size + (self.input_size if self.projections > 1.5 else 0)
        return self.gates * self.hidden_size * size


@dataclass(frozen=True)
class Network:
    """What is done per window."""

    window: int
    layers: tuple[Layer, ...]
    head: float  # multiply-adds
    carried: Carried | None = None  # none: every window takes its own steps

    @property
    def steps(self) -> float:
        """Return the steps of each layer."""
        return self.carried.steps if self.carried else self.window

    @property
    def products(self) -> float:
        """Return the steps with a recurrent product: those that are no first ones."""
        return self.carried.products if self.carried else self.window - 1

    @property
    def recurrent(self) -> float:
        """Return the multiply-adds of h."""
        rows = sum(layer.gates * layer.hidden_size**2 for layer in self.layers)
        return rows * self.products

    @property
    def multiply_adds(self) -> float:
        """Of all products, at one product each."""
        total = self.head + self.recurrent
        for layer in self.layers:
            total += layer.gates * layer.hidden_size * layer.input_size * layer.projections
        return total

    @property
    def coarse(self) -> bool:
        """Return whether steps are so few that all gates are coarse at "low"."""
        return self.carried is None and self.window <= COARSE_WINDOW

    def sets(self, cell: str) -> float:
        """Count the sets of activations of all layers with this cell."""
        return sum(layer.hidden_size * self.steps for layer in self.layers if layer.cell == cell)


@dataclass(frozen=True)
class Carried:
    """Steps per window of chains that carry their states.

    Examples
    --------
    A window of 2 rows has blocks of 11. Three chains: the first one starts at its block's first
    row, and serves 9 windows by 10 steps; the others serve 11 by 12 steps each.

    >>> found = Carried.of(window=2, block=11, chains=3)
    >>> found.windows, found.steps * 31, found.products * 31
    (31, 34.0, 31.0)
    """

    windows: int  # of all chains
    steps: float
    products: float

    @classmethod
    def of(cls, *, window: int, block: int, chains: int) -> Carried:
        """Count whole blocks of an entity, from its first one on."""
        windows = chains * block - window
        steps = chains * (window + block - 1) - window
        return cls(windows, steps / windows, (steps - chains) / windows)


def network(
    metadata: Mapping[str, Any],
    *,
    targets: int,
    rows_per_window: float = 1.0,
    carried: Carried | None = None,
) -> Network:
    """Count a model: `SequenceModel.metadata` and `num_targets`.

    Parameters
    ----------
    metadata : mapping
        With ``window``, ``horizon``, ``encoder`` and ``decoder``.
    targets : int
        Columns that the head predicts.
    rows_per_window : float
        Rows of the series over its windows: what the lowest projection is shared by.
    carried : Carried, optional
        The chains that carry states; they share no projection.
    """
    window = metadata["window"]
    steps = carried.steps if carried else float(window)
    if carried:
        rows_per_window = steps
    layers = []
    for stack, lowest in (("encoder", rows_per_window), ("decoder", 1.0)):
        for number, spec in enumerate(metadata[stack]):
            if spec["bidirectional"] or spec["proj_size"]:
                raise ValueError("metadata: expected neither bidirectional nor projected layers")
            if spec["cell"] not in PROBED:
                raise ValueError(f"metadata: expected layers of {PROBED}, got {spec['cell']!r}")
            layers.append(
                Layer(
                    spec["cell"],
                    spec["input_size"],
                    spec["hidden_size"],
                    steps if number else lowest,
                )
            )
    predicted_rows = window if metadata["decoder"] else metadata["horizon"]
    head = float(layers[-1].hidden_size * targets * predicted_rows)
    return Network(window, tuple(layers), head, carried)


@dataclass(frozen=True)
class Sets:
    """Nanoseconds for a set of activations, alone and with `mixed` multiply-adds of `fma` each.

    The multiply-adds are float32's, or for codes those of codes.
    """

    lstm: float
    lstm_mixed: float
    gru: float
    gru_mixed: float
    fma: float
    mixed: float

    def alone(self, network: Network) -> float:
        """All sets of a window, and nothing else."""
        return network.sets("lstm") * self.lstm + network.sets("gru") * self.gru

    def beside(self, network: Network) -> float:
        """Return what all sets of a window add to the time of products, at least."""
        products = self.mixed * self.fma
        lstm = min(self.lstm, max(0.0, self.lstm_mixed - products))
        gru = min(self.gru, max(0.0, self.gru_mixed - products))
        return network.sets("lstm") * lstm + network.sets("gru") * gru


@dataclass(frozen=True)
class Machine:
    """What one core does with one instruction set, in nanoseconds, and the units beside it."""

    lanes: int
    registers: int
    fma: float  # per multiply-add
    l1: float  # per byte
    l2: float
    # "plain"; on AVX512-BF16 "fine" and "rough" for its kernels; "int8" and "int8 coarse"
    sets: Mapping[str, Sets]
    units: Mapping[str, float]  # per multiply-add of the families beside "fma", if there
    l1_bytes: int  # size of the L1 data cache
    code_bytes: int = 1  # of a code of "int8" in a register

    def sets_of(self, family: str, precision: str, *, coarse: bool) -> Sets:
        """Return the activations of a family's kernels: "medium" takes rough ones."""
        if family == "fma":
            return self.sets["plain"]
        if family in OF_CODES:
            return self.sets["int8 coarse" if coarse else "int8"]
        return self.sets["rough" if precision == "medium" else "fine"]


@dataclass(frozen=True)
class Least:
    """Nanoseconds per window."""

    products: float
    sets: float  # beside products, for tiles alone
    sets_alone: float
    l1: float
    l2: float
    time: float  # the least
    in_turn: float  # products, then activations
    limit: str  # what makes the least time so long


def families(machine: Machine) -> list[tuple[str, str]]:
    """All (family, precision) of products that this machine can run."""
    bf16 = [("bf16", p) for p in ("high", "medium")] if "bf16" in machine.units else []
    amx = [("amx", p) for p in BF16_PRODUCTS] if "amx" in machine.units else []
    codes = [(family, "low") for family in OF_CODES if family in machine.units]
    return [("fma", "highest"), *bf16, *amx, *codes]


def least_time(network: Network, machine: Machine, family: str, precision: str) -> Least:
    """Divide the counts of a network by the machine."""
    own, rest = network.multiply_adds, 0.0  # those of the family, and float32's beside them
    if family in OF_CODES:
        own, rest = network.recurrent, network.multiply_adds - network.recurrent
    unit = machine.fma if family == "fma" else machine.units[family]
    number = BF16_PRODUCTS[precision] if family in ("bf16", "amx") else 1
    own_ns, rest_ns = own * number * unit, rest * machine.fma
    sets = machine.sets_of(family, precision, coarse=network.coarse)
    alone, beside = sets.alone(network), sets.beside(network)
    l1 = own * operand_bytes(machine, family, precision) * machine.l1
    l1 += rest * operand_bytes(machine, "fma", precision) * machine.l1
    l2 = weight_bytes(network, machine, family, precision) * machine.l2
    if family in ON_TILES:
        times = {"products": own_ns, "activations": rest_ns + alone}
    else:
        times = {"products + activations": own_ns + rest_ns + beside}
    times |= {"L1": l1, "L2": l2}
    limit = max(times, key=lambda name: times[name])
    return Least(
        products=own_ns + rest_ns,
        sets=alone if family in ON_TILES else beside,
        sets_alone=alone,
        l1=l1,
        l2=l2,
        time=times[limit],
        in_turn=max(own_ns + rest_ns + alone, l1, l2),
        limit=limit,
    )


def operand_bytes(machine: Machine, family: str, precision: str) -> float:
    """Bytes from the L1 cache per float32 multiply-add, at the best tile of sums in registers.

    Examples
    --------
    32 registers of 16 lanes hold 5 x 5 sums: 10 loads for 25 multiply-adds a lane.

    >>> machine = Machine(16, 32, 1, 1, 1, sets={}, units={}, l1_bytes=32768)
    >>> operand_bytes(machine, "fma", "highest") == 10 * 64 / (25 * 16)
    True
    """
    if family in ON_TILES:
        # Two by two tiles of sums: two tiles of each operand, for each part.
        tile = PARTS.get(precision, 1) * TILE * TILE_BYTES
        return 4 * tile / (4 * TILE * TILE * TILE_BYTES / (2 if family == "amx" else 1))
    loads = min(
        (rows + columns) / (rows * columns)
        for rows in range(1, machine.registers)
        for columns in range(1, machine.registers)
        if rows * columns + columns + 1 <= machine.registers  # sums, columns, one weight
    )
    if family == "fma":
        return 4 * loads
    if family == "int8":
        return machine.code_bytes * loads
    return PARTS[precision] * 2 * loads  # a bf16 pair in each lane


def weight_bytes(network: Network, machine: Machine, family: str, precision: str) -> float:
    """Bytes of weights from the L2 cache per window."""
    size = 4 if family == "fma" else 2 * PARTS.get(precision, 1)
    if family in OF_CODES:
        size = machine.code_bytes if family == "int8" else 1
    total = 0.0
    for layer in network.layers:
        own = layer.gates * layer.hidden_size**2 if family in OF_CODES else layer.weights
        weights = own * size + (layer.weights - own) * 4
        if weights > machine.l1_bytes:
            windows = max(1.0, machine.l1_bytes / 2 / (layer.hidden_size * size))
            total += weights * network.products / windows
    return total


def best_of(samples: Sequence[Machine]) -> Machine:
    """Take the least of every time."""
    first = samples[0]
    return replace(
        first,
        **{name: min(getattr(s, name) for s in samples) for name in ("fma", "l1", "l2")},
        units={unit: min(s.units[unit] for s in samples) for unit in first.units},
        sets={kind: _best_sets([s.sets[kind] for s in samples]) for kind in first.sets},
    )


def _best_sets(samples: Sequence[Sets]) -> Sets:
    names = ("lstm", "lstm_mixed", "gru", "gru_mixed", "fma")
    return replace(samples[0], **{name: min(getattr(s, name) for s in samples) for name in names})
