"""The dynamic threshold as published, an error at a time: slow, and independent of the package."""

from __future__ import annotations

import math

import numpy as np


def smooth(errors, span):
    decay = 1 - 2 / (span + 1)
    averages = []
    for t in range(len(errors)):
        weights = decay ** np.arange(t, -1, -1)
        averages.append((weights * errors[: t + 1]).sum() / weights.sum())
    return np.array(averages)


def groups(places):
    found = []
    for place in sorted(places):
        if found and place == found[-1][-1] + 1:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def widened(places, n, reach):
    return {p + d for p in places for d in range(-reach, reach + 1) if 0 <= p + d < n}


def epsilon(errors, buffer, mean, sd):
    chosen, best = mean + 12 * sd, -math.inf
    for z in np.arange(2.5, 12, 0.5):
        limit = mean + z * sd
        above = [i for i, e in enumerate(errors) if e >= limit]
        if not above:
            continue
        covered = widened(above, len(errors), buffer - 1)
        sequences = [g for g in groups(covered) if len(g) > 1]
        rest = [e for e in errors if e < limit]
        gain = (mean - np.mean(rest)) / mean + (sd - np.std(rest)) / sd
        worth = gain / (len(sequences) ** 2 + len(covered))
        if worth >= best and len(sequences) <= 5 and len(covered) < len(errors) / 2:
            chosen, best = limit, worth
    return chosen


def sequences(errors, values, *, batch, window, span, buffer, separation, warmup):
    """First and last rows of the anomalous sequences of one series, and the averages."""
    n = len(errors)
    averages = smooth(np.asarray(errors, float), span)
    if warmup:
        averages[:warmup] = averages[: 2 * warmup].mean()
    flagged = set()
    later = max(0, (n - window) // batch)
    for i in range(later + 1):
        begin = i * batch
        end = n if i == later else begin + window
        part = averages[begin:end]
        mean, sd = part.mean(), part.std()
        if sd == 0:
            continue
        truth = None if values is None else values[begin:end]
        floor = -math.inf
        if truth is not None:
            floor = 0.05 * (np.percentile(truth, 95) - np.percentile(truth, 5))
            if not (sd > 0.05 * truth.std() or part.max() > floor) or part.max() <= 0.05:
                continue
        skip = 2 * warmup if n >= 2500 else warmup if n >= 1800 else 0
        first = skip if i == 0 else len(part) - batch
        new = set()
        for tail in (part, mean + (mean - part)):
            limit = epsilon(tail, buffer, mean, sd)
            above = [k for k, e in enumerate(tail) if e >= limit and e > floor]
            places = {k for k in widened(above, len(part), buffer) if k >= first}
            normal = [
                tail[k] for k in range(len(part)) if k not in places and begin + k not in flagged
            ]
            new |= {begin + k for k in pruned(tail, places, normal, separation)}
        flagged |= new
    return [(g[0], g[-1]) for g in groups(flagged) if len(g) > 1], averages


def pruned(errors, places, normal, separation):
    found = [g for g in groups(places) if len(g) > 1]
    if not found:
        return places
    found.sort(key=lambda g: -max(errors[k] for k in g))
    peaks = [max(errors[k] for k in g) for g in found] + [max(normal, default=-math.inf)]
    keep = 0
    for i in range(len(found)):
        if (peaks[i] - peaks[i + 1]) / peaks[i] >= separation:
            keep = i + 1
    return {k for g in found[:keep] for k in g}
