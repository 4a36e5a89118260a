"""The comparison of detectors: which buffer judges them, and that `evaluate` gives the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import detection
from slidecell.datasets import LabelledSeries
from slidecell.detect import PCADetector, ZScoreDetector
from slidecell.evaluate import default_vus_window, evaluate


@pytest.fixture(autouse=True)
def _cheap_detectors(monkeypatch):
    """Let z-scores and PCA stand for the networks, which would train for minutes."""
    cheap = {"forecaster": ZScoreDetector, "autoencoder": PCADetector}
    monkeypatch.setattr(detection, "DETECTORS", detection.DETECTORS | cheap)


def labelled_series(name: str = "A-1") -> LabelledSeries:
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(300, 3)), rng.normal(size=(400, 3))
    label = np.zeros(400, np.int64)
    label[150:172] = label[300:330] = 1
    test[155:160] += 3
    test[335:340] += 3  # late: a buffer forgives it
    return LabelledSeries(name, train, test, label)


def test_detection_judges_with_the_given_buffer():
    series = labelled_series()
    own = default_vus_window(series.test_label)
    found = {
        window: {f.detector: f for f in detection.judge(detection.Job("ASD", series, window))}
        for window in (100, 10, None)
    }
    assert own == 26
    assert [found[window]["PCA"].vus_window for window in found] == [100, 10, own]
    values = {found[window]["z-score"].vus_pr for window in found}
    assert len(values) == 3
    scores = ZScoreDetector().fit(series.train).score_samples(series.test)
    for window, row in ((w, found[w]["z-score"]) for w in found):
        same = evaluate(series.test_label, scores, vus_window=window)
        assert (row.vus_window, row.vus_pr) == (same.vus_window, same.vus_pr)
        assert row.pr_auc == same.pr_auc


def test_detection_leaves_out_what_cannot_be_judged():
    series = labelled_series()
    normal = LabelledSeries("A-2", series.train, series.test, np.zeros(400, np.int64))
    assert "one label" in detection.judge(detection.Job("ASD", normal))
    still = LabelledSeries("A-3", np.ones((300, 3)), series.test, series.test_label)
    assert "no column of its training part varies" in detection.judge(detection.Job("ASD", still))


@pytest.mark.parametrize(
    ("arguments", "buffers", "saved"),
    [
        ([], "buffers up to 100 rows", 100),
        (["--vus-window", "20"], "buffers up to 20 rows", 20),
        (["--vus-window", "auto"], "each series' own buffer", "auto"),
    ],
)
def test_detection_command_says_its_buffer(
    arguments, buffers, saved, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(detection, "labelled_sets", lambda _: iter([("ASD", labelled_series())]))
    monkeypatch.setattr(
        detection, "run", lambda jobs, _: [f for job in jobs for f in detection.judge(job)]
    )
    file = tmp_path / "found.json"
    assert detection.main(["--data", str(tmp_path), "--json", str(file), *arguments]) == 0
    assert f"VUS-PR ({buffers}) / PR-AUC" in capsys.readouterr().out
    report = json.loads(file.read_text())
    assert report["vus_window"] == saved
    assert {f["vus_window"] for f in report["found"]} == {26 if saved == "auto" else saved}


@pytest.mark.parametrize("text", ["-1", "ten", "1.5", ""])
def test_detection_refuses_other_buffers(text, capsys):
    with pytest.raises(SystemExit):
        detection.parse(["--data", ".", f"--vus-window={text}"])
    assert f"expected a number of rows or auto, got {text!r}" in capsys.readouterr().err
