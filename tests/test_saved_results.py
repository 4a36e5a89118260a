"""A folder of results holds one detector, also where a save was interrupted or another follows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pandas")
for _module in ("torch", "sklearn", "matplotlib"):
    pytest.importorskip(_module)

from slidecell.detect import ForecastDetector, ZScoreDetector  # noqa: E402
from slidecell.detect.loading import find_saved, load_saved  # noqa: E402
from slidecell.jobs.retrain import RetrainOptions, run_retrain  # noqa: E402
from slidecell.jobs.score import ScoreOptions, run_score  # noqa: E402
from tests.detect_cases import panel, run  # noqa: E402

SIMPLE = {"window": None, "hidden_size": (), "epochs": 50}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_another_detector_leaves_nothing_of_the_old_one_beside_it(tmp_path: Path) -> None:
    run(tmp_path, panel(2), detector="ensemble")
    run(tmp_path, panel(2))
    out = tmp_path / "out"
    (out / "mine.txt").write_text("keep")
    (out / "detector" / "notes.txt").write_text("keep")
    assert "model.safetensors" in files(out)
    assert not any("member" in name for name in files(out))
    run(tmp_path, panel(2), detector="zscore", **SIMPLE)
    assert files(out) == {
        *("detector/arrays.safetensors", "detector/detector.json", "detector/notes.txt"),
        *("events.csv", "mine.txt", "report.json", "scores.csv", "scores.png"),
    }


def test_a_random_network_is_no_model_that_scores_by_its_errors(tmp_path: Path) -> None:
    result = run(tmp_path, panel(2), detector="random-gru", epochs=50)
    assert result.model is not None
    assert "model.safetensors" not in files(tmp_path / "out")
    assert "detector/model.safetensors" in files(tmp_path / "out")


def interrupted(out: Path, name: str) -> None:
    """Leave the folder as a process does that is killed when the new set is complete."""
    hidden = out / ".slidecell-new"
    hidden.mkdir(parents=True)
    X = np.random.default_rng(1).normal(size=(60, 1))
    if name == "detector":
        ZScoreDetector().fit(X).save(hidden / "detector")
    else:
        network = ForecastDetector(window=3, hidden_size=2, epochs=1, random_state=0).fit(X)
        network.model_.save(hidden / "model.safetensors")


@pytest.mark.parametrize("name", ["detector", "model.safetensors"])
@pytest.mark.parametrize("old", [False, True])
def test_a_set_that_is_not_in_place_yet_is_read_as_a_whole(
    tmp_path: Path, name: str, old: bool
) -> None:
    out = tmp_path / "out"
    X = np.random.default_rng(0).normal(5.0, 2.0, size=(60, 1))
    if old:
        out.mkdir()
        before = ForecastDetector(window=3, hidden_size=2, epochs=1, random_state=1).fit(X)
        if name == "detector":
            ZScoreDetector().fit(X).save(out / "detector")
        else:
            before.model_.save(out / "model.safetensors")
    interrupted(out, name)
    expected = load_saved(out / ".slidecell-new" / name).score_samples(X)
    for path in (out, out / name):
        assert find_saved(path) == out / name  # where it will be
        assert np.array_equal(load_saved(path).score_samples(X), expected, equal_nan=True)


def test_a_model_file_is_not_retrained_beside_a_detector_of_other_weights(tmp_path: Path) -> None:
    run(tmp_path, panel(2))
    out, file = tmp_path / "out", tmp_path / "in.csv"
    before = files(out)
    model = out / "model.safetensors"
    with pytest.raises(ValueError, match=r"--out: .*out has a folder 'detector'.*as MODEL"):
        run_retrain(RetrainOptions(model, file, out, epochs=1), progress=False)
    assert files(out) == before
    run_retrain(RetrainOptions(model, file, tmp_path / "new", epochs=1), progress=False)
    assert files(tmp_path / "new") == {"model.safetensors", "retrain.json"}
    kept = run_retrain(RetrainOptions(out, file, out, epochs=1), progress=False)
    frame = panel(2)
    for path in (out, model):
        scored = run_score(ScoreOptions(path, file, tmp_path / "s"))
        assert np.array_equal(
            scored.table.restore(scored.scores, np.nan).astype(np.float64),
            kept.detector.score_samples(frame),
            equal_nan=True,
        )


def test_an_old_detector_is_copied_without_what_else_lies_in_its_folder(tmp_path: Path) -> None:
    run(tmp_path, panel(2), epochs=3)
    saved = tmp_path / "out" / "detector"
    (saved / "notes.txt").write_text("mine")
    (saved / "more").mkdir()
    options = RetrainOptions(
        tmp_path / "out", tmp_path / "in.csv", tmp_path / "new", epochs=1, lr=10.0
    )
    assert run_retrain(options, progress=False).kept == "old"
    assert files(tmp_path / "new" / "detector") == files(saved) - {"notes.txt"}
    assert not (tmp_path / "new" / "detector" / "more").exists()
    for name in files(tmp_path / "new" / "detector"):
        assert (tmp_path / "new" / "detector" / name).read_bytes() == (saved / name).read_bytes()


def test_a_damaged_memory_of_the_file_is_refused(tmp_path: Path) -> None:
    ZScoreDetector().fit([[0.0], [1.0], [2.0]]).save(tmp_path / "detector")
    text = tmp_path / "detector" / "detector.json"
    saved = json.loads(text.read_text())
    saved["fitted"]["table"] = {"time": "t", "max_gap": 5}
    text.write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=r"'table': 'max_gap': expected a text, got 5"):
        load_saved(tmp_path)


def test_errors_of_fitting_name_the_file(tmp_path: Path) -> None:
    frame = panel(2)
    frame[["load", "mail"]] = 1.0
    with pytest.raises(ValueError, match=r"in\.csv: all columns are constant"):
        run(tmp_path, frame)
    with pytest.raises(ValueError, match=r"in\.csv: all columns are constant"):
        run(tmp_path, frame, detector="zscore", **SIMPLE)
    assert not (tmp_path / "out").exists()
