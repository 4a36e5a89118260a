"""Which kernel runs, with which tile and on which memory: a rule of shapes and device limits.

Nothing here depends on the number of rows or windows, so a score never does either.
"""

from __future__ import annotations

from slidecell.cuda.device import Device
from slidecell.cuda.fma_plan import plan_fma
from slidecell.cuda.kernel_plan import KernelPlan
from slidecell.cuda.mma_plan import plan_mma, plan_wgmma
from slidecell.cuda.network_weights import Network
from slidecell.cuda.packing import pack_mma

PRECISIONS = ("highest", "high", "medium")


def plan_network(
    network: Network, device: Device, *, window: int, stride: int = 1, precision: str = "highest"
) -> KernelPlan:
    """Plan the scoring of a network; the plan's ``precision`` is never lower than asked for.

    ``"high"`` and ``"medium"`` run on the matrix units where there are any (from sm_80 on) and the
    network's operands fit a warp's registers, and as ``"highest"`` elsewhere.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision: expected one of {', '.join(map(repr, PRECISIONS))}, got {precision!r}"
        )
    plan = plan_wgmma(network, device, precision)
    if plan is not None:
        return plan
    if precision != "highest" and device.matrix_unit:
        packed = pack_mma(network, 2 if precision == "high" else 1)
        for on_chip in (True, False):
            for rows in (2, 1):
                plan = plan_mma(network, packed, device, precision, rows=rows, on_chip=on_chip)
                if plan is not None:
                    return plan
    return plan_fma(network, device, window=window, stride=stride, asked=precision)
