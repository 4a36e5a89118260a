"""The rule of the threshold on the command line: its options, its errors, what is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("sklearn", "matplotlib"):
    pytest.importorskip(_module)

from benchmarks.detection.alarms import count_alarms  # noqa: E402
from slidecell.datasets import LabelledSeries  # noqa: E402
from slidecell.detect import ZScoreDetector, load_detector  # noqa: E402
from slidecell.jobs.command_line import command_line  # noqa: E402
from slidecell.jobs.detect import DetectOptions, run_detect  # noqa: E402
from slidecell.jobs.rule_options import RuleOptions  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.tables.options import TableOptions  # noqa: E402
from slidecell.thresholds import RateThreshold, find_events  # noqa: E402


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, {}),
        ({"threshold": "rate"}, {}),
        ({"rate": "3/day"}, {"threshold": "3/day"}),
        ({"threshold": "percentile"}, {"contamination": 0.05}),
        ({"percentile": 99.9}, {"contamination": 0.001}),
    ],
)
def test_rules_are_parameters_of_detectors(options: Any, settings: Any) -> None:
    assert RuleOptions(**options).rule_settings(None) == settings


@pytest.mark.parametrize(
    ("options", "kind", "state"),
    [
        ({"value": 2.5}, "fixed", {"value": 2.5}),
        ({"threshold": "spot", "spot_depth": 3}, "spot", {"q": 1e-4, "depth": 3}),
        ({"cusum_h": 4.0}, "cusum", {"k": 0.5, "h": 4.0}),
        ({"dynamic_window": 300}, "dynamic", {"batch": 70, "window": 300}),
    ],
)
def test_rules_with_parameters(options: Any, kind: str, state: Any) -> None:
    found = RuleOptions(**options).rule_settings(None)["threshold"].state()
    assert found["kind"] == kind
    assert {name: found[name] for name in state} == state


def test_a_gap_of_events_is_the_rate_s_too() -> None:
    rule = RuleOptions(rate="3/day").rule_settings(7)["threshold"]
    assert isinstance(rule, RateThreshold)
    assert (rule.rate, rule.gap) == ("3/day", 7)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threshold": "often"}, "--threshold: expected rate, percentile, fixed, spot, cusum, dyn"),
        ({"threshold": "spot", "rate": "1%"}, "--rate: an option of --threshold rate, but the rul"),
        ({"cusum_k": 1.0, "percentile": 9.0}, "--cusum-k: an option of --threshold cusum, but th"),
        ({"threshold": "fixed"}, "--threshold fixed: needs --value"),
        ({"rate": "3/fortnight"}, "--rate: expected a share of rows as 0.1%"),
        ({"spot_q": 0.5}, r"--spot-q: expected 0 < q < 0.02 \(1 - level\), got 0.5"),
        ({"value": float("inf")}, "--value: expected a finite number, got inf"),
        ({"percentile": 0.0}, "--percentile: expected between 0 and 100, got 0"),
    ],
)
def test_options_that_are_refused_name_their_flag(options: Any, text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}"):
        DetectOptions(Path("in.csv"), Path("out"), **options)


def test_a_rate_is_asked_kept_and_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=6000), "b": rng.normal(size=6000)})
    frame.insert(0, "t", pd.date_range("2024-01-01", periods=6000, freq="h"))
    frame["label"] = 0
    frame.loc[5000:5009, ["a", "label"]] = [9.0, 1]
    frame.to_csv(tmp_path / "in.csv", index=False)
    table = TableOptions(time="t", label="label")
    options = DetectOptions(
        tmp_path / "in.csv", tmp_path / "out", table, detector="zscore", rate="0.48/day"
    )
    assert command_line("detect", options).endswith("--detector zscore --rate 0.48/day")
    result = run_detect(options, progress=False)
    rate = result.report["rate"]
    # 20 events in 1,000 hours; the test part has 1,790 without a label.
    assert (rate["asked"], rate["unit"]) == ("0.48/day", "events")
    assert rate["expected"] == pytest.approx(1790 * 0.02)
    normal = (result.part == "test") & (result.table.labels == 0)
    kept = np.flatnonzero(normal)
    cut = [0, int((kept < 5000).sum()), len(kept)]
    seen = find_events(result.flagged[kept], result.scores[kept], cut, gap=0)
    assert rate["seen"] == len(seen)
    assert rate["low"] <= rate["seen"] <= rate["high"]
    threshold = next(s for s in result.document.sections if s.title == "Threshold")
    assert "set for a rate of 0.48/day. In the test part without its labelled rows 35.8 ev" in (
        threshold.text
    )
    again = run_score(ScoreOptions(tmp_path / "out", tmp_path / "in.csv", tmp_path / "again"))
    assert np.array_equal(again.flagged, result.flagged)
    assert json.loads((tmp_path / "again" / "report.json").read_text())["rate"]["asked"] == (
        "0.48/day"
    )
    assert load_detector(tmp_path / "out" / "detector").threshold == "0.48/day"


def test_the_benchmark_counts_windows_hit_and_events_outside() -> None:
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(200, 1)), rng.normal(size=(300, 1))
    label = np.zeros(300, np.int64)
    label[50:60] = label[200:210] = 1
    test[55] = test[120] = test[121] = test[250] = 50.0
    series = LabelledSeries("A-1", train, test, label)
    detector = ZScoreDetector(threshold=10.0).fit(train)
    found = count_alarms(detector, series, detector.score_samples(test), 0)
    assert (found.windows, found.hit, found.events, found.outside) == (2, 1, 3, 2)
    assert (found.rows_inside, found.rows_unlabelled, found.gap) == (3, 480, 0)
    assert 0.0 < found.hit_by_random < 0.5
    assert found.asked == ""
    rated = ZScoreDetector(threshold="10%").fit(train)
    found = count_alarms(rated, series, rated.score_samples(test), 0)
    assert (found.asked, found.unit, found.expected) == ("10%", "rows", 28.0)
