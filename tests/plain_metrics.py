"""Metrics written as they are defined, row by row: slow, and independent of the package."""

from __future__ import annotations

import itertools
import math

import numpy as np


def events(rows, offsets):
    """First and last rows (inclusive) of the runs of true rows within an entity."""
    found = []
    for a, b in itertools.pairwise(offsets):
        row = a
        while row < b:
            if rows[row]:
                first = row
                while row + 1 < b and rows[row + 1]:
                    row += 1
                found.append((first, row))
            row += 1
    return found


def entity_of(row, offsets):
    return next((a, b) for a, b in itertools.pairwise(offsets) if a <= row < b)


def soft_labels(labels, offsets, w):
    soft = np.array(labels, float)
    for first, last in events(labels, offsets):
        a, b = entity_of(first, offsets)
        for row in range(a, b):
            d = first - row if row < first else row - last
            if 1 <= d <= w // 2:
                soft[row] += math.sqrt(1 - d / w)
    return np.minimum(soft, 1.0)


def joined(labels, offsets, w):
    """Anomalies with their buffers; those of one entity are joined where buffers meet."""
    groups = []
    for first, last in events(labels, offsets):
        a, b = entity_of(first, offsets)
        begin, end = first - w // 2, last + w // 2
        if groups and groups[-1][2] == a and groups[-1][1] >= begin:
            groups[-1][1] = end
        else:
            groups.append([begin, end, a, b])
    return [(max(begin, a), min(end, b - 1)) for begin, end, a, b in groups]


def range_auc(labels, scores, offsets, w):
    """R-AUC-ROC and R-AUC-PR of one buffer length, at thresholds at 250 ranks."""
    labels, n = np.asarray(labels), len(labels)
    soft, groups = soft_labels(labels, offsets, w), joined(labels, offsets, w)
    positives = labels.sum()
    recalls, fall_outs, precisions = [0.0], [0.0], [1.0]
    for rank in np.unique(np.linspace(0, n - 1, 250).astype(int)):  # equal ones add nothing
        flags = scores >= np.sort(scores)[::-1][rank]
        hits = (soft * flags).sum()
        wanted = (positives + np.where(labels == 1, 1.0, soft * flags).sum()) / 2
        touched = np.mean([flags[a : b + 1].any() for a, b in groups])
        recalls.append(min(hits / wanted, 1.0) * touched)
        fall_outs.append((flags.sum() - hits) / (n - wanted))
        precisions.append(hits / flags.sum())
    pr = sum((recalls[k] - recalls[k - 1]) * precisions[k] for k in range(1, len(recalls)))
    x, y = [*fall_outs, 1.0], [*recalls, 1.0]
    roc = sum((x[k] - x[k - 1]) * (y[k] + y[k - 1]) / 2 for k in range(1, len(x)))
    return roc, pr


def vus(labels, scores, window, offsets):
    areas = [range_auc(labels, np.asarray(scores), offsets, w) for w in range(window + 1)]
    return np.mean(areas, axis=0)


def range_f1(labels, flags, offsets, existence):
    def reward(ranges, rows, others, alpha):
        total = 0.0
        for first, last in ranges:
            inside = rows[first : last + 1]
            pieces = sum(1 for a, b in others if a <= last and b >= first)
            total += alpha * inside.any() + (1 - alpha) * inside.mean() / max(pieces, 1)
        return total / len(ranges)

    labels, flags = np.asarray(labels, bool), np.asarray(flags, bool)
    wanted, found = events(labels, offsets), events(flags, offsets)
    if not wanted or not found:
        return 0.0 if wanted else None
    recall = reward(wanted, flags, found, existence)
    precision = reward(found, labels, wanted, 0.0)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def affiliation(labels, flags, offsets, steps=200):
    """Precision and recall by the midpoint rule with so many steps a row."""
    precisions, recalls = [], []
    for a, b in itertools.pairwise(offsets):
        local = [(first, last + 1) for first, last in events(labels, offsets) if a <= first < b]
        for i, (first, end) in enumerate(local):
            left = (local[i - 1][1] + first) / 2 if i else a
            right = (end + local[i + 1][0]) / 2 if i + 1 < len(local) else b
            zone = left + (np.arange(round((right - left) * steps)) + 0.5) / steps
            flagged = zone[np.asarray(flags, bool)[zone.astype(int)]]
            to_event = np.sort(np.maximum(np.maximum(first - zone, zone - end), 0.0))
            if len(flagged) == 0:
                recalls.append(0.0)
                continue
            d = np.maximum(np.maximum(first - flagged, flagged - end), 0.0)
            farther = 1 - np.searchsorted(to_event, d, side="right") / len(zone)
            precisions.append(np.where(d == 0.0, 1.0, farther).mean())
            inside = zone[(zone > first) & (zone < end)]
            d = np.abs(inside[:, None] - flagged).min(axis=1)
            reach = np.minimum(inside + d, right) - np.maximum(inside - d, left)
            recalls.append((1 - reach / (right - left)).mean())
    if not recalls:
        return None, None
    return (float(np.mean(precisions)) if precisions else None), float(np.mean(recalls))
