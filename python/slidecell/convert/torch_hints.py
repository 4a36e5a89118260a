"""What operations are that models do not have, and what a caller can do instead."""

from __future__ import annotations

__all__ = ["HINTS", "LAST", "NO_CUT"]

NO_CUT = "leave it out; slidecell skips missing values itself"
LAST = "read the last step: out[:, -1] or h_n"

# What other operations are, and what a caller can do: their text, by name.
HINTS: dict[str, tuple[str, str]] = {
    "layer_norm": (
        "normalises each vector by its own mean and spread",
        "leave it out, or train with BatchNorm1d, which is folded into the weights",
    ),
    "group_norm": ("normalises groups of columns", "use BatchNorm1d"),
    "instance_norm": ("normalises each window", "use BatchNorm1d, or scale the rows before"),
    "nan_to_num": ("replaces missing values", NO_CUT),
    "where": ("chooses by value", NO_CUT),
    "mean": ("averages over an axis", LAST),
    "sum": ("sums over an axis", LAST),
    "max": ("takes the largest over an axis", LAST),
    "amax": ("takes the largest over an axis", LAST),
    "softmax": ("weighs steps by attention", LAST),
    "scaled_dot_product_attention": ("weighs steps by attention", LAST),
    "bmm": ("multiplies values with each other", LAST),
    "einsum": ("multiplies by einsum", "use nn.Linear"),
    "conv1d": ("convolves", "leave it out: a model is recurrent layers and a head"),
    "flip": ("turns an axis around", "use bidirectional=True for both directions"),
    "exp": ("takes the exponential", "return the log variance itself, or leave it out"),
    "softplus": ("is a softplus", "return the log variance itself, or use relu"),
    "embedding": ("looks up an embedding", "give numbers as columns"),
    "_pack_padded_sequence": ("packs sequences", "give windows of one length, unpacked"),
    **{
        name: (f"is {name}, which no head has", "use relu, tanh, sigmoid, gelu or leaky_relu")
        for name in (
            *("silu", "elu", "celu", "selu", "mish", "hardswish", "hardsigmoid", "prelu", "relu6"),
            *("log_sigmoid", "softsign", "rrelu", "tanhshrink", "softshrink", "hardshrink"),
        )
    },
}
