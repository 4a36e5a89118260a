"""A file is judged by the rule and the smoothing that its model carries, as a live stream is."""

from __future__ import annotations

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
for _module in ("torch", "sklearn", "matplotlib", "libspot"):
    pytest.importorskip(_module)

import torch  # noqa: E402

import slidecell as sc  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from slidecell.jobs.terminal import print_report  # noqa: E402
from slidecell.thresholds import CusumThreshold, FixedThreshold, SpotThreshold  # noqa: E402
from slidecell.thresholds.smoothing import MovingAverage  # noqa: E402
from slidecell.training import Forecaster  # noqa: E402

ROWS = np.random.default_rng(5).random((240, 2)) ** 3


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return sc.SequenceModel.from_torch(Forecaster(2, 4, window=3)).with_metadata(
        features=["a", "b"]
    )


@pytest.mark.parametrize("smoothing", [None, MovingAverage(3)])
@pytest.mark.parametrize(
    "rule",
    [
        FixedThreshold(0.2),
        CusumThreshold(k=0.3, h=3.0, restart=True),
        SpotThreshold(q=0.05, level=0.8),
    ],
)
def test_rescore_flags_as_a_monitor_alarms(model, tmp_path, rule, smoothing):
    training = model.score(ROWS[:120])
    rule = rule.fit(training if smoothing is None else smoothing.apply(training))
    model = model.with_metadata(
        threshold=rule.state(), smoothing=None if smoothing is None else smoothing.state()
    )
    model.save(tmp_path / "m.safetensors")
    frame = pd.DataFrame(ROWS, columns=["a", "b"]).assign(who=np.repeat(["x", "y"], 120))
    frame.to_csv(tmp_path / "in.csv", index=False)
    options = ScoreOptions(
        *(tmp_path / name for name in ("m.safetensors", "in.csv", "out")),
        entity="who",
        html=smoothing is not None,  # a page for each rule
    )
    result = run_score(options)
    monitor = sc.Monitor.from_model(model, num_entities=2)
    events = [monitor.push(row, entity=g // 120) for g, row in enumerate(ROWS)]
    assert result.flagged.tolist() == [event.alarm for event in events]
    assert 0 < result.flagged.sum() < 200
    judged = [event.smoothed for event in events]
    assert np.array_equal(result.scores, judged, equal_nan=True)
    noted = [note for note in result.report["data"]["notes"] if "smoothed" in note]
    assert len(noted) == (smoothing is not None)


def test_rescore_names_a_rule_without_a_value(model, tmp_path, capsys):
    rule = CusumThreshold().fit(model.score(ROWS))
    model.with_metadata(threshold=rule.state()).save(tmp_path / "m.safetensors")
    pd.DataFrame(ROWS, columns=["a", "b"]).assign(label=0).to_csv(tmp_path / "in.csv", index=False)
    result = run_score(
        ScoreOptions(
            tmp_path / "m.safetensors", tmp_path / "in.csv", tmp_path / "out", label="label"
        )
    )
    assert result.threshold is None
    assert result.report["metrics"]["threshold"] is None
    from rich.console import Console

    print_report(Console(), result.document)
    assert "flagged by the rule 'cusum'" in capsys.readouterr().out
