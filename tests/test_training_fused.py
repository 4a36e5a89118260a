"""The compiled training kernels against float64 gradients of torch's own layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

import slidecell as sc

torch = pytest.importorskip("torch")
from slidecell.training import fused  # noqa: E402
from slidecell.training.cells import GRULayer, LSTMLayer  # noqa: E402

# Largest error of a gradient, of the largest number in it; and of an output.
GRADIENT = 1e-5
OUTPUT = 1e-6
POISON = 12345.0


@dataclass(frozen=True)
class Case:
    """A layer, its batch, and which of its outputs the loss reads."""

    cell: str
    N: int = 5
    T: int = 7
    I: int = 7  # noqa: E741
    H: int = 16
    bias: bool = True
    state: bool = False
    reads: tuple[str, ...] = ("out",)
    reverse: bool = False

    def layer(self) -> torch.nn.RNNBase:
        kind = torch.nn.LSTM if self.cell == "lstm" else torch.nn.GRU
        torch.manual_seed(self.N + 10 * self.T + 100 * self.I + 1000 * self.H)
        return kind(self.I, self.H, bias=self.bias, batch_first=True)

    def inputs(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        states = (2 if self.cell == "lstm" else 1) if self.state else 0
        x = torch.rand(self.N, self.T, self.I) * 2 - 1
        return x, [torch.rand(self.N, self.H) - 0.5 for _ in range(states)]


def outputs_of_torch(
    case: Case, layer: torch.nn.RNNBase, x: torch.Tensor, states: list[torch.Tensor]
) -> dict[str, torch.Tensor]:
    given = tuple(state[None] for state in states)
    hx = None if not given else given if case.cell == "lstm" else given[0]
    out, final = layer(x.flip(1) if case.reverse else x, hx)
    finals = final if case.cell == "lstm" else (final,)
    named = dict(zip(("h_n", "c_n"), (part[0] for part in finals), strict=False))
    return {"out": out.flip(1) if case.reverse else out, **named}


def weights_of(layer: torch.nn.RNNBase) -> fused.Weights:
    flat = list(layer.parameters())
    return fused.Weights(*flat, *([None] * (4 - len(flat))))


def check(case: Case) -> None:
    layer = case.layer()
    x, states = case.inputs()
    leaves = [tensor.requires_grad_() for tensor in (x, *states)]
    double = case.layer().double()
    leaves64 = [tensor.detach().double().requires_grad_() for tensor in leaves]
    expected = outputs_of_torch(case, double, leaves64[0], leaves64[1:])
    values = fused.run(
        case.cell,
        x,
        weights_of(layer),
        *states,
        outputs="out" in case.reads,
        reverse=case.reverse,
    )
    found = dict(zip(("out", "h_n", "c_n"), values, strict=True))
    assert ("out" in case.reads) == (found["out"] is not None)
    assert ("out" in case.reads and case.cell == "lstm") == (found["c_n"] is not None)
    loss, loss64 = torch.zeros(()), torch.zeros((), dtype=torch.float64)
    for name in case.reads:
        if name not in expected:
            continue
        torch.testing.assert_close(found[name].double(), expected[name], rtol=0, atol=OUTPUT)
        weight = torch.rand(found[name].shape) - 0.5
        loss = loss + (found[name] * weight).sum()
        loss64 = loss64 + (expected[name] * weight.double()).sum()
    loss.backward()
    loss64.backward()
    names = ["x", *(("h0", "c0")[: len(states)]), *(name for name, _ in layer.named_parameters())]
    pairs = zip((*leaves, *layer.parameters()), (*leaves64, *double.parameters()), strict=True)
    for name, (ours, theirs) in zip(names, pairs, strict=True):
        bound = GRADIENT * theirs.grad.abs().max()
        error = (ours.grad - theirs.grad).abs().max()
        assert error <= bound, (name, case, float(error), float(bound))


SIZES = [
    {"N": 1, "T": 1, "I": 1, "H": 1},
    {"N": 5, "T": 2, "I": 7, "H": 3},
    {"N": 96, "T": 2, "I": 29, "H": 16},
    {"N": 97, "T": 7, "I": 1, "H": 17},
    {"N": 49, "T": 7, "I": 15, "H": 33},
    {"N": 200, "T": 2, "I": 7, "H": 64},
    {"N": 5, "T": 30, "I": 16, "H": 64},
    {"N": 33, "T": 2, "I": 31, "H": 100},
]
USES = [
    {"state": True, "reads": ("out", "h_n", "c_n")},
    {"reads": ("h_n",), "bias": False},
    {"state": True, "reads": ("h_n",), "reverse": True},
]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gradients_against_float64(isa: str, cell: str, size: dict[str, int]) -> None:
    check(Case(cell, **size))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("use", USES, ids=str)
@pytest.mark.parametrize("size", SIZES[:5], ids=str)
def test_gradients_of_states(isa: str, cell: str, use: dict, size: dict[str, int]) -> None:
    check(replace(Case(cell, **size), **use))


@pytest.mark.parametrize("layer_type", [LSTMLayer, GRULayer])
def test_gradcheck_of_the_float64_reference(layer_type: type) -> None:
    """The plain step-by-step layer is what its gradients say: so is torch's, its equal."""
    torch.manual_seed(0)
    layer = layer_type(2, 3).double()
    x = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        plain = layer_type(2, 3).double()
        for name, weight in zip(names, weights, strict=True):
            delattr(plain, name)
            setattr(plain, name, weight)
        return plain.loop(x)[0]

    assert torch.autograd.gradcheck(run, (x, *values))
    theirs = (torch.nn.LSTM if layer_type is LSTMLayer else torch.nn.GRU)(2, 3, batch_first=True)
    theirs = theirs.double()
    theirs.load_state_dict(layer.state_dict())
    torch.testing.assert_close(theirs(x)[0], layer.loop(x)[0], rtol=0, atol=1e-12)


def gradients(case: Case, x: torch.Tensor, threads: int = 1) -> list[torch.Tensor]:
    """Return the outputs and the gradients of the weights."""
    layer = case.layer()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        outputs = [v for v in fused.run(case.cell, x, weights_of(layer)) if v is not None]
        sum(v.square().sum() for v in outputs).backward()
    finally:
        torch.set_num_threads(before)
    return [*outputs, *(parameter.grad for parameter in layer.parameters())]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_same_bits_on_any_number_of_threads(isa: str, cell: str) -> None:
    case = Case(cell, N=1001, T=3, H=5)
    x = case.inputs()[0]
    one, two, three = (gradients(case, x, threads) for threads in (1, 2, 3))
    for first, second, third in zip(one, two, three, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first, third)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_window_does_not_depend_on_others(isa: str, cell: str) -> None:
    case = Case(cell, N=50, H=5)
    x = case.inputs()[0]
    alone, among = x[17:18].clone().requires_grad_(), x.clone()
    among[:17], among[18:] = torch.nan, torch.inf
    among.requires_grad_()
    for given, row in ((alone, 0), (among, 17)):
        out, _, _ = fused.run(cell, given, weights_of(case.layer()))
        out[row].square().sum().backward()
    assert torch.equal(alone.grad[0], among.grad[17])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_memory_layouts_give_the_same_bits(cell: str) -> None:
    case = Case(cell, N=7, T=5, I=3)
    x = case.inputs()[0]
    expected = gradients(case, x)
    wide = torch.full((7, 9, 8), POISON)
    wide[:, 2:7, 3:6] = x
    layouts = [
        x.transpose(0, 1).contiguous().transpose(0, 1),  # time-major in memory
        x.transpose(1, 2).contiguous().transpose(1, 2),  # features apart
        wide[:, 2:7, 3:6],
        x.repeat_interleave(2, 0)[::2],
    ]
    for layout in layouts:
        assert torch.equal(layout, x)
        found = gradients(case, layout)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_repeated_step_needs_no_copy() -> None:
    case = Case("lstm", N=7, T=5, I=3)
    code = case.inputs()[0][:, 0].clone().requires_grad_()
    copied = code.detach().clone().requires_grad_()
    for leaf, x in (
        (code, code.unsqueeze(1).expand(-1, 5, -1)),
        (copied, copied.unsqueeze(1).repeat(1, 5, 1)),
    ):
        fused.run("lstm", x, weights_of(case.layer()))[0].sum().backward()
        assert leaf.grad.abs().sum() > 0
    torch.testing.assert_close(code.grad, copied.grad, rtol=1e-6, atol=0)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_any_subset_of_inputs_may_need_gradients(cell: str) -> None:
    case = Case(cell, N=5, T=3, I=2, H=3, state=True)
    layer, (x, states) = case.layer(), case.inputs()
    tensors = [x, *layer.parameters(), *states]
    for number in range(1, 1 << len(tensors)):
        wanted = [bool(number >> k & 1) for k in range(len(tensors))]
        leaves = [
            tensor.detach().clone().requires_grad_(want)
            for tensor, want in zip(tensors, wanted, strict=True)
        ]
        out, _, _ = fused.run(cell, leaves[0], fused.Weights(*leaves[1:5]), *leaves[5:])
        out.square().sum().backward()
        assert [leaf.grad is not None for leaf in leaves] == wanted
        if number == (1 << len(tensors)) - 1:
            full = [leaf.grad for leaf in leaves]
    for k in range(len(tensors)):  # alone: the same numbers as together
        leaves = [t.detach().clone().requires_grad_(j == k) for j, t in enumerate(tensors)]
        out, _, _ = fused.run(cell, leaves[0], fused.Weights(*leaves[1:5]), *leaves[5:])
        out.square().sum().backward()
        assert torch.equal(leaves[k].grad, full[k])


def test_outputs_and_gradients_are_written_in_full(
    isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was in the memory of outputs, kept steps and gradients before."""
    case = Case("gru", N=50, T=3, I=2, H=5)
    x = case.inputs()[0].requires_grad_()
    expected = gradients(case, x)
    dx, x.grad = x.grad, None

    def poisoned(make):
        return lambda *args, **kwargs: make(*args, **kwargs).fill_(torch.nan)

    for owner, name in (
        (torch, "empty"),
        (torch, "empty_like"),
        (torch.Tensor, "new_empty"),
        (fused.Memory, "take"),
    ):
        monkeypatch.setattr(owner, name, poisoned(getattr(owner, name)))
    found = gradients(case, x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.equal(x.grad, dx)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_saturated_gates_stay_finite(isa: str, cell: str) -> None:
    case = Case(cell, N=50, T=4, I=3, H=5)
    layer = case.layer()
    for size in (1e3, 1e10, 1e16, 1e20, 1e36):
        x = torch.randn(50, 4, 3, generator=torch.Generator().manual_seed(0)) * size
        out, _, _ = fused.run(cell, x, weights_of(layer))
        out.sum().backward()
        assert out.isfinite().all()
        expected = outputs_of_torch(case, layer.double(), x.double(), [])["out"]
        layer.float()
        if size > 1e3:  # below it float32's own rounding of the sums shows
            torch.testing.assert_close(out.double(), expected, rtol=0, atol=OUTPUT)
        assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_memory_of_kept_steps_is_reused() -> None:
    memory = fused.Memory()
    first = memory.take(1000)
    where = first.data_ptr()
    assert where % 64 == 0
    second = memory.take(1000)
    assert second.data_ptr() != where
    del first
    assert memory.take(999).data_ptr() == where
    layer = Case("lstm").layer()
    x = Case("lstm").inputs()[0]
    places = set()
    losses = []
    for _ in range(4):
        out, _, _ = fused.run("lstm", x, weights_of(layer), memory=memory)
        places.add(out.grad_fn.saved_tensors[-1].data_ptr())
        losses.append(out.sum())  # alive, as a loop that keeps its losses has them
        losses[-1].backward()
    assert len(places) == 1


def test_isa_may_change_between_the_passes() -> None:
    case = Case("lstm", N=53, T=3, H=5)
    x = case.inputs()[0]
    expected = gradients(case, x)[-4:]
    before = sc.active_isa()
    try:
        for isa in sc.available_isas():
            layer = case.layer()
            sc.set_isa(isa)
            values = fused.run("lstm", x, weights_of(layer))
            sc.set_isa(before)
            sum(v.square().sum() for v in values).backward()
            for ours, parameter in zip(expected, layer.parameters(), strict=True):
                torch.testing.assert_close(parameter.grad, ours, rtol=0, atol=1e-4)
    finally:
        sc.set_isa(before)
