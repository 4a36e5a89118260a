"""Find unusual days of many users in one table, whose rows may come in any order."""

from __future__ import annotations

import numpy as np

from slidecell.datasets import insider_threat
from slidecell.detect import ForecastDetector
from slidecell.evaluate import evaluate


def main() -> None:
    """Fit one forecaster on all users, score each user's days, and rank the users."""
    frame = insider_threat(users=30, days=120).sample(frac=1, random_state=0)
    labels = frame.pop("label").to_numpy()

    detector = ForecastDetector(
        window=7, entity="user", time="day", epochs=3, threshold="1%", random_state=0
    )
    detector.fit(frame)  # no window crosses from one user to the next
    scores = detector.score_samples(frame)  # in the order of the rows that it was given

    print(f"{np.isfinite(scores).sum()} of {len(scores)} rows have a score")
    found = evaluate(labels, scores, threshold=detector.threshold_)
    print(
        f"PR-AUC {found.pr_auc:.2f}, {found.pr_auc / found.prevalence:.0f} times a random score's"
    )

    highest = frame.assign(score=scores).groupby("user")["score"].max()
    print("users with the highest scores:", *highest.nlargest(3).index)


if __name__ == "__main__":
    main()
