"""Models as ONNX graphs: layers, head, scaler and score, in operators that every runtime has."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from slidecell._extras import require

__all__ = ["onnx_bytes"]

Array = npt.NDArray[Any]

# The newest in which ReduceMean has its axes as an attribute, which every runtime knows.
OPSET, IR_VERSION = 17, 8
# Torch's gates, ifgo and rzn, in ONNX' order: iofc and zrh.
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (1, 0, 2), "rnn": (0,)}
_NAMES = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu"}
_LEAST_VARIANCE = 1e-6


def onnx_bytes(
    model: Any,
    *,
    reduction: str | None = "mse",
    aggregate: str = "window",
    prediction: bool = True,
    marks_missing: bool = True,
    time_major: bool = False,
    batch: int | str = "n",
) -> bytes:
    """Return a model as the bytes of an ONNX file.

    Parameters
    ----------
    model : SequenceModel
    reduction, aggregate
        As for `SequenceModel.to_onnx`.
    prediction : bool
        Whether the graph gives predictions, not the score alone.
    marks_missing : bool
        Whether what touches a missing row is NaN, as in `SequenceModel.score`. What a runtime's
        layers make of NaN differs.
    time_major : bool
        Read x as [W, n, F]: ONNX' own layers do so, and batch-first the graph transposes them.
    batch : int or str
        The number of windows, or the name of an axis that takes any.

    Raises
    ------
    ValueError
        If the model has not what the reduction needs.

    Examples
    --------
    >>> import numpy as np
    >>> import slidecell as sc
    >>> from slidecell.convert import onnx_bytes
    >>> weights = {"gru.weight_ih_l0": np.ones((12, 3)), "gru.weight_hh_l0": np.ones((12, 4)),
    ...            "fc.weight": np.ones((3, 4)), "fc.bias": np.ones(3)}
    >>> model = sc.SequenceModel.from_state_dict(weights, window=7)
    >>> again = sc.SequenceModel.from_onnx(onnx_bytes(model, reduction=None))
    >>> np.array_equal(again.tensors["head.weight"], model.tensors["head.weight"])
    True
    """
    require("onnx", extra="onnx")
    _check_choices(model, reduction, aggregate)
    return _Writer(model, _Nodes(), time_major, batch, marks_missing).whole(
        reduction, aggregate, prediction=prediction
    )


def _check_choices(model: Any, reduction: str | None, aggregate: str) -> None:
    metadata = model.metadata
    known = ("mse", "mae", "mahalanobis", "nll", "calibrated")
    if reduction is not None and reduction not in known:
        raise ValueError(
            f"reduction: expected one of {', '.join(map(repr, known))}, or None for the prediction "
            f"alone, got {reduction!r}"
        )
    if aggregate not in ("window", "last") or (aggregate == "last" and model.horizon):
        raise ValueError(
            "aggregate: expected 'window', or 'last' for an autoencoder, got "
            f"{aggregate!r}; what 'mean' averages is in other windows"
        )
    if reduction == "nll" and metadata.get("distribution") is None:
        raise ValueError("reduction: 'nll' needs a model that predicts variances")
    key = {"mahalanobis": "whiten", "calibrated": "slope"}.get(reduction or "")
    if key and key not in (metadata["error"] or {}):
        raise ValueError(f"reduction: {reduction!r} needs error statistics; call fit_error first")
    if reduction == "calibrated" and metadata["scaler"] is None:
        raise ValueError("reduction: 'calibrated' needs a forecaster with a scaler")


@dataclass
class _Nodes:
    """Nodes and constants, named by number."""

    nodes: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node with one output; return its name."""
        return self.node(operator, inputs, (output or f"value{len(self.nodes)}",), **attributes)[0]

    def node(
        self, operator: str, inputs: Sequence[str], outputs: tuple[str, ...], **attributes: Any
    ) -> tuple[str, ...]:
        from onnx import helper

        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=name, **attributes))
        return outputs

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        """Add a constant; return its name."""
        from onnx import numpy_helper

        name = f"constant{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.array(value, dtype, order="C"), name))
        return name

    def integers(self, *numbers: int) -> str:
        """Add a list of whole numbers; return its name."""
        return self.constant(numbers, np.int64)

    def cast(self, x: str, *, double: bool) -> str:
        """Return a value as float64 or as float32."""
        return self.add("Cast", x, to=11 if double else 1)


class _Writer:
    """Writes one model."""

    def __init__(
        self, model: Any, nodes: _Nodes, time_major: bool, batch: int | str, marks_missing: bool
    ) -> None:
        self.model = model
        self.metadata: Mapping[str, Any] = model.metadata
        self.weights: Mapping[str, Array] = model.tensors
        self.nodes = nodes
        self.time_major = time_major
        self.batch = batch
        self.marks_missing = marks_missing
        self.targets = self.metadata["targets"] or list(range(model.input_size))
        self.all_targets = self.targets == list(range(model.input_size))

    def whole(self, reduction: str | None, aggregate: str, *, prediction: bool) -> bytes:
        """Return the file."""
        nodes, outputs = self.nodes, list[str]()
        rows = self._scaled("x")  # [n, W, F] or [W, n, F]
        steps = rows if self.time_major else nodes.add("Transpose", rows, perm=[1, 0, 2])
        mean, log_variance = self._network(steps)  # in scaled units
        touched = self._touched(steps, [0, 2]) if self.marks_missing else None
        if prediction:
            self._prediction(mean, touched, "prediction")
            outputs.append("prediction")
            if log_variance is not None:
                self._prediction(log_variance, touched, "log_variance")
                outputs.append("log_variance")
        if reduction is not None:
            self._score(reduction, aggregate, (mean, log_variance), steps, touched)
            outputs.append("score")
        return self._file(outputs, with_truth=reduction is not None and self.model.horizon > 0)

    def _scaled(self, x: str) -> str:
        """Return rows as the layers see them: (x - center) / scale, in float64."""
        scaler = self.metadata["scaler"]
        if scaler is None:
            return x
        center, scale = (
            self.nodes.constant(scaler[key], np.float64) for key in ("center", "scale")
        )
        wide = self.nodes.add("Sub", self.nodes.cast(x, double=True), center)
        return self.nodes.cast(self.nodes.add("Div", wide, scale), double=False)

    def _touched(self, x: str, axes: list[int]) -> str:
        """Return NaN for each window that has a missing row and 0 for others: [n, 1, 1]."""
        nodes = self.nodes
        zeros = nodes.add("Mul", x, nodes.constant(0.0))
        total = nodes.add("ReduceSum", zeros, nodes.integers(*axes), keepdims=1)
        return nodes.add("Reshape", total, nodes.integers(-1, 1, 1))

    def _network(self, steps: str) -> tuple[str, str | None]:
        """Return predictions [n, K, targets] or [W, n, targets], and their log variances."""
        nodes, model = self.nodes, self.model
        last = ""
        for place, spec in enumerate(self.metadata["encoder"]):
            steps, last = self._layer(steps, spec, f"encoder.{place}")
        if self.metadata["decoder"]:
            steps = nodes.add("Expand", last, nodes.integers(model.window, 1, 1))
            for place, spec in enumerate(self.metadata["decoder"]):
                steps, _ = self._layer(steps, spec, f"decoder.{place}")
            return self._head(steps), None
        flat = self._head(nodes.add("Squeeze", last, nodes.integers(0)))
        gaussian = self.metadata.get("distribution") is not None
        shape = nodes.integers(
            -1, 2 * model.horizon if gaussian else model.horizon, len(self.targets)
        )
        whole = nodes.add("Reshape", flat, shape)
        if not gaussian:
            return whole, None
        halves = (f"mean{len(nodes.nodes)}", f"log_variance{len(nodes.nodes)}")
        sizes = nodes.integers(model.horizon, model.horizon)
        mean, log_variance = nodes.node("Split", (whole, sizes), halves, axis=1)
        return mean, log_variance

    def _layer(self, x: str, spec: Mapping[str, Any], prefix: str) -> tuple[str, str]:
        """Add a layer on x [T, n, I]; return its states [T, n, D*H] and the last, [1, n, D*H]."""
        nodes = self.nodes
        directions = [self._direction(spec, prefix, "")]
        if spec["bidirectional"]:
            directions.append(self._direction(spec, prefix, "_reverse"))
        arrays = [np.stack(parts) for parts in zip(*(d[:3] for d in directions), strict=True)]
        outputs = (f"states{len(nodes.nodes)}", f"last{len(nodes.nodes)}")
        out, last = nodes.node(
            spec["cell"].upper(),
            (x, *(nodes.constant(array) for array in arrays)),
            outputs,
            hidden_size=spec["hidden_size"],
            **_attributes(spec),
        )
        if spec["proj_size"]:  # which the recurrent weights have taken in
            project = nodes.constant(np.stack([one[3].T for one in directions]))
            out, last = nodes.add("MatMul", out, project), nodes.add("MatMul", last, project)
        if len(directions) == 1:
            return nodes.add("Squeeze", out, nodes.integers(1)), last
        out = nodes.add("Transpose", out, perm=[0, 2, 1, 3])
        last = nodes.add("Transpose", last, perm=[1, 0, 2])
        size = (spec["proj_size"] or spec["hidden_size"]) * 2
        return (
            nodes.add("Reshape", out, nodes.integers(0, 0, size)),
            nodes.add("Reshape", last, nodes.integers(1, -1, size)),
        )

    def _direction(self, spec: Mapping[str, Any], prefix: str, suffix: str) -> list[Array]:
        """Return W, R, B and the projection of one direction, gates in ONNX' order."""

        def ordered(array: Array) -> Array:
            gates = np.split(array, len(_ORDER[spec["cell"]]))
            return np.concatenate([gates[gate] for gate in _ORDER[spec["cell"]]])

        def tensor(name: str) -> Array | None:
            return self.weights.get(f"{prefix}.{name}_l0{suffix}")

        input_weight, recurrent = tensor("weight_ih"), tensor("weight_hh")
        assert input_weight is not None
        assert recurrent is not None
        project = tensor("weight_hr")
        if project is not None:
            # Gates read the projected h: W (P h) = (W P) h.
            recurrent = recurrent.astype(np.float64) @ project.astype(np.float64)
        biases = [tensor("bias_ih"), tensor("bias_hh")]
        bias = [np.zeros(len(input_weight)) if one is None else ordered(one) for one in biases]
        given = [] if project is None else [project]
        return [ordered(input_weight), ordered(recurrent), np.concatenate(bias), *given]

    def _head(self, x: str) -> str:
        nodes = self.nodes
        given = self.metadata.get("head")
        entries = [{"output_size": 0, "activation": "linear"}] if given is None else given
        for place, entry in enumerate(entries):
            if entry.get("output_size") is not None:
                prefix = "head" if given is None else f"head.{place}"
                weight = self.weights[f"{prefix}.weight"]
                x = nodes.add("MatMul", x, nodes.constant(weight.T))
                bias = self.weights.get(f"{prefix}.bias")
                if bias is not None:
                    x = nodes.add("Add", x, nodes.constant(bias))
            x = self._activated(x, entry.get("activation", "linear"), entry.get("slope"))
        return x

    def _activated(self, x: str, activation: str, slope: float | None) -> str:
        nodes = self.nodes
        if activation == "linear":
            return x
        if activation in _NAMES:
            return nodes.add(_NAMES[activation], x)
        if activation == "leaky_relu":
            return nodes.add("LeakyRelu", x, alpha=float(slope or 0.0))
        if activation == "gelu":
            inner = nodes.add("Erf", nodes.add("Mul", x, nodes.constant(math.sqrt(0.5))))
        else:  # gelu_tanh
            cube = nodes.add("Mul", nodes.add("Mul", x, x), x)
            cube = nodes.add("Mul", cube, nodes.constant(0.044715))
            inner = nodes.add(
                "Mul", nodes.add("Add", x, cube), nodes.constant(math.sqrt(2 / math.pi))
            )
            inner = nodes.add("Tanh", inner)
        half = nodes.add("Mul", x, nodes.constant(0.5))
        return nodes.add("Mul", half, nodes.add("Add", inner, nodes.constant(1.0)))

    def _prediction(self, value: str, touched: str | None, name: str) -> None:
        """Add an output [n, K or W, targets] in raw units."""
        nodes = self.nodes
        if not self.model.horizon:
            value = nodes.add("Transpose", value, perm=[1, 0, 2])
        if touched is not None:
            value = nodes.add("Add", value, touched)
        scaler = self.metadata["scaler"]
        if scaler is not None:
            center, scale = (
                np.asarray(scaler[key], np.float64)[self.targets] for key in ("center", "scale")
            )
            value = nodes.cast(value, double=True)
            if name == "prediction":
                value = nodes.add("Mul", value, nodes.constant(scale, np.float64))
                value = nodes.add("Add", value, nodes.constant(center, np.float64))
            else:
                wider = np.log(np.square(scale))
                value = nodes.add("Add", value, nodes.constant(wider, np.float64))
            value = nodes.cast(value, double=False)
        nodes.add("Identity", value, output=name)

    def _score(
        self,
        reduction: str,
        aggregate: str,
        predicted: tuple[str, str | None],
        steps: str,
        touched: str | None,
    ) -> None:
        """Add the score [n]."""
        nodes, forecasts = self.nodes, self.model.horizon > 0
        mean, log_variance = predicted
        truth = self._scaled("y") if forecasts else steps
        if touched is not None and forecasts:
            touched = nodes.add("Add", touched, self._touched(truth, [1, 2]))
        if not self.all_targets:
            truth = nodes.add("Gather", truth, nodes.integers(*self.targets), axis=2)
        error = nodes.add("Sub", mean, truth)  # [n, K, targets] or [W, n, targets]
        if aggregate == "last":
            error = nodes.add("Gather", error, nodes.integers(-1), axis=0)
        own = self._own_errors(reduction, error, log_variance)
        axes = [1, 2] if forecasts else [0, 2]
        end = "" if touched is not None else "score"
        score = nodes.add("ReduceMean", own, axes=axes, keepdims=0, output=end)
        if touched is not None:
            marks = nodes.add("Squeeze", touched, nodes.integers(1, 2))
            nodes.add("Add", score, marks, output="score")

    def _own_errors(self, reduction: str, error: str, log_variance: str | None) -> str:
        """Return what the score is the mean of."""
        nodes = self.nodes
        statistics = self.metadata["error"]
        if reduction == "mse":
            return nodes.add("Mul", error, error)
        if reduction == "mae":
            return nodes.add("Abs", error)
        if reduction == "nll":
            assert log_variance is not None
            least = nodes.constant(math.log(_LEAST_VARIANCE))
            v = nodes.add("Max", log_variance, least)
            weighed = nodes.add("Div", nodes.add("Mul", error, error), nodes.add("Exp", v))
            return nodes.add("Mul", nodes.add("Add", v, weighed), nodes.constant(0.5))
        if reduction == "calibrated":
            shape = (self.model.horizon, len(self.targets))
            slope, intercept = (
                nodes.constant(np.reshape(statistics[key], shape)) for key in ("slope", "intercept")
            )
            sizes = nodes.add("Mul", nodes.add("Abs", error), slope)
            return nodes.add("Relu", nodes.add("Add", sizes, intercept))
        if self.model.horizon:  # mahalanobis: one distance of all rows ahead
            size = self.model.horizon * len(self.targets)
            error = nodes.add("Reshape", error, nodes.integers(-1, 1, size))
        wide = nodes.cast(error, double=True)
        mean = nodes.constant(statistics["mean"], np.float64)
        whiten = nodes.constant(np.asarray(statistics["whiten"]).T, np.float64)
        apart = nodes.add("MatMul", nodes.add("Sub", wide, mean), whiten)
        square = nodes.add("Mul", apart, apart)
        distance = nodes.add("ReduceSum", square, nodes.integers(2), keepdims=1)
        return nodes.cast(distance, double=False)

    def _file(self, outputs: Sequence[str], *, with_truth: bool) -> bytes:
        from onnx import TensorProto, helper

        model, n, count = self.model, self.batch, len(self.targets)
        W, F, K = model.window, model.input_size, model.horizon
        inputs: dict[str, list[int | str]] = {"x": [W, n, F] if self.time_major else [n, W, F]}
        if with_truth:
            inputs["y"] = [n, K, F]
        shapes: dict[str, list[int | str]] = {
            name: [n] if name == "score" else [n, K or W, count] for name in outputs
        }
        taken, given = (
            [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in part.items()]
            for part in (inputs, shapes)
        )
        graph = helper.make_graph(self.nodes.nodes, "slidecell", taken, given, self.nodes.tensors)
        made = helper.make_model(
            graph,
            producer_name="slidecell",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        said = {key: json.dumps(self.metadata[key]) for key in ("features", "targets")}
        helper.set_model_props(made, said)
        data: bytes = made.SerializeToString()
        return data


def _attributes(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes of a layer's node, but for its size: those that are not ONNX' defaults."""
    count = 2 if spec["bidirectional"] else 1
    found: dict[str, Any] = {"direction": "bidirectional"} if count == 2 else {}
    if spec["cell"] == "gru" and spec["reset_after"]:
        found["linear_before_reset"] = 1
    activation, gate = spec["activation"], spec["recurrent_activation"]
    each = {"lstm": [gate, activation, activation], "gru": [gate, activation], "rnn": [activation]}
    names = each[spec["cell"]]
    if set(names) <= {"tanh", "sigmoid"} and activation == "tanh" and gate == "sigmoid":
        return found
    parameters = {"hard_sigmoid": ("HardSigmoid", 1 / 6, 0.5), "linear": ("Affine", 1.0, 0.0)}
    written, alphas, betas = [], [], []
    for name in names * count:
        known, *numbers = parameters.get(name, (_NAMES.get(name, name),))
        written.append(known)
        if numbers:
            alphas.append(numbers[0])
            betas.append(numbers[1])
    found["activations"] = written
    if alphas:
        found |= {"activation_alpha": alphas, "activation_beta": betas}
    return found
