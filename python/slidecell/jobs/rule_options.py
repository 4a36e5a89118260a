"""The options of the rule that flags rows, and the rule that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slidecell.thresholds import (
    CusumThreshold,
    DynamicThreshold,
    FixedThreshold,
    PercentileThreshold,
    PerEntityThreshold,
    RateThreshold,
    SpotThreshold,
    Threshold,
)

__all__ = ["RULES", "RuleOptions"]

# The options of each rule, by their names there.
RULES: dict[str, dict[str, str]] = {
    "rate": {"rate": "rate"},
    "percentile": {"percentile": "percentile"},
    "fixed": {"value": "value"},
    "spot": {"spot_q": "q", "spot_level": "level", "spot_depth": "depth"},
    "cusum": {"cusum_k": "k", "cusum_h": "h"},
    "dynamic": {"dynamic_batch": "batch", "dynamic_window": "window"},
}
_CLASSES: dict[str, type[Threshold]] = {
    "fixed": FixedThreshold,
    "spot": SpotThreshold,
    "cusum": CusumThreshold,
    "dynamic": DynamicThreshold,
}
DEFAULT_PERCENTILE = 95.0


@dataclass(frozen=True, kw_only=True)
class RuleOptions:
    """Which rule flags rows; what is None is the rule's own default.

    Parameters
    ----------
    threshold : {"rate", "percentile", "fixed", "spot", "cusum", "dynamic"}, optional
        Default: the rule whose option is given, or else ``rate``.
    rate : str, optional
        See `slidecell.thresholds.RateThreshold`.
    percentile : float, optional
        Of the scores of the fitted rows. Default: 95.
    value : float, optional
        The fixed threshold.
    spot_q, spot_level, spot_depth
        See `slidecell.thresholds.SpotThreshold`.
    cusum_k, cusum_h
        See `slidecell.thresholds.CusumThreshold`.
    dynamic_batch, dynamic_window
        See `slidecell.thresholds.DynamicThreshold`.
    per_entity : bool
        Fit the rule for each entity: see `slidecell.thresholds.PerEntityThreshold`.
    """

    threshold: str | None = None
    rate: str | None = None
    percentile: float | None = None
    value: float | None = None
    spot_q: float | None = None
    spot_level: float | None = None
    spot_depth: int | None = None
    cusum_k: float | None = None
    cusum_h: float | None = None
    dynamic_batch: int | None = None
    dynamic_window: int | None = None
    per_entity: bool = False

    @property
    def rule(self) -> str:
        """The name of the rule."""
        if self.threshold is not None:
            return self.threshold
        return next((rule for rule in RULES if self._given(rule)), "rate")

    def check_rule_options(self) -> None:
        """Raise a ValueError that names the flag of the command line."""
        if self.threshold is not None and self.threshold not in RULES:
            raise ValueError(f"--threshold: expected {', '.join(RULES)}, got {self.threshold!r}")
        for rule in RULES:
            given = self._given(rule)
            if given and rule != self.rule:
                flag = f"--{next(iter(given)).replace('_', '-')}"
                raise ValueError(
                    f"{flag}: an option of --threshold {rule}, but the rule is {self.rule}: "
                    f"leave one of them out"
                )
        if self.rule == "fixed" and self.value is None:
            raise ValueError(
                "--threshold fixed: needs --value, the score above which a row is flagged"
            )
        if self.percentile is not None and not 0.0 < self.percentile < 100.0:
            raise ValueError(f"--percentile: expected between 0 and 100, got {self.percentile:g}")
        self._make_rule(None)

    def rule_settings(self, event_gap: int | None) -> dict[str, Any]:
        """Return the parameters of a detector that ask for the rule.

        Examples
        --------
        >>> from slidecell.jobs.rule_options import RuleOptions
        >>> RuleOptions(percentile=99.0).rule_settings(None)
        {'contamination': 0.01}
        >>> RuleOptions(rate="3/day").rule_settings(None)
        {'threshold': '3/day'}
        """
        if self.per_entity:
            return {"threshold": self._make_rule(event_gap)}
        if self.rule == "percentile":
            percentile = DEFAULT_PERCENTILE if self.percentile is None else self.percentile
            # 99.9 means 0.001, and not the 0.0009999999999999432 that a subtraction makes of it.
            return {"contamination": float(f"{(100.0 - percentile) / 100.0:.12g}")}
        if self.rule == "rate" and event_gap is None:
            return {} if self.rate is None else {"threshold": self.rate}
        return {"threshold": self._make_rule(event_gap)}

    def _make_rule(self, event_gap: int | None) -> Threshold | None:
        if not self.per_entity:
            return self._make_one(event_gap)
        one = self._make_one(event_gap)
        if one is None:
            one = PercentileThreshold(
                DEFAULT_PERCENTILE if self.percentile is None else self.percentile
            )
        try:
            return PerEntityThreshold(one)
        except ValueError as error:
            raise ValueError(
                f"--per-entity: no option of --threshold {self.rule}: {str(error).split(': ')[-1]}"
            ) from None

    def _make_one(self, event_gap: int | None) -> Threshold | None:
        try:
            if self.rule == "rate":
                return RateThreshold(self.rate, gap=event_gap)
            if self.rule == "percentile":
                return None
            names = RULES[self.rule]
            return _CLASSES[self.rule](**{names[k]: v for k, v in self._given(self.rule).items()})
        except (ValueError, TypeError) as error:
            argument, _, rest = str(error).partition(": ")
            flags = {own: option for option, own in RULES[self.rule].items()}
            option = flags.get(argument, "threshold").replace("_", "-")
            raise ValueError(f"--{option}: {rest if argument in flags else error}") from None

    def _given(self, rule: str) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in RULES[rule]}
        return {name: value for name, value in values.items() if value is not None}
