"""Choose a detector's settings on labelled rows, with scikit-learn and joblib's processes."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from slidecell.adapters import scorer
from slidecell.detect import KMeansDetector


def main() -> None:
    """Search over windows and clusters; every fold trains on the past alone."""
    rng = np.random.default_rng(0)
    X = np.sin(np.arange(1800) / 5)[:, None] + rng.normal(0, 0.05, (1800, 1))
    y = np.zeros(1800, int)
    y[650::150] = 1
    X[y == 1] *= -1  # values that are usual, in an unusual place

    search = GridSearchCV(
        KMeansDetector(random_state=0, num_threads=1),  # each process has one thread
        {"window": [1, 8, 16], "n_clusters": [8, 24]},
        scoring=scorer("roc_auc"),  # leaves out rows without a score
        cv=TimeSeriesSplit(3, test_size=300),
        n_jobs=2,
    )
    search.fit(X, y)
    print(f"best: {search.best_params_}, ROC-AUC {search.best_score_:.2f}")
    worst = search.cv_results_["mean_test_score"].min()
    print(f"worst of {len(search.cv_results_['params'])}: ROC-AUC {worst:.2f}")


if __name__ == "__main__":
    main()
