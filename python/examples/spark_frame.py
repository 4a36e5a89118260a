"""Score a fleet's rows by the tasks of Spark, and compare them with one process bit for bit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

from slidecell.detect import WindowPCADetector
from slidecell.scale.spark import find_events, score_frame


def main() -> None:
    """Fit on the first half of a table, score all of it, and list the events."""
    rng = np.random.default_rng(0)
    hours = np.tile(np.arange(1000), 3)
    frame = pd.DataFrame({"machine": np.repeat(["a", "b", "c"], 1000), "hour": hours})
    frame["load"] = np.sin(hours / 8) + 0.1 * rng.normal(size=3000)
    frame.loc[1800:1810, "load"] += 2.0  # of machine b

    detector = WindowPCADetector(window=24, entity="machine", time="hour", threshold="1%")
    detector.fit(frame[frame["hour"] < 500])

    spark = SparkSession.builder.master("local[2]").getOrCreate()
    scored = score_frame(spark.createDataFrame(frame), detector).cache()

    rows = scored.toPandas().sort_values(["machine", "hour"])
    alone = detector.score_samples(frame)
    same = np.array_equal(rows["score"].to_numpy(np.float64), alone, equal_nan=True)
    print("the bits of one process:", same)
    worst = find_events(scored, detector).orderBy("peak", ascending=False).first()
    print(f"worst event: machine {worst['machine']}, hours {worst['start']} to {worst['end']}")


if __name__ == "__main__":
    main()
