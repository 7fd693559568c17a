"""Another project's step detector, night by night: run by `benchmarks/nightly_alerts.py` in that project's environment.

Reads {"series": [[…], …], "first": night, "last": night} from standard input; writes for each series the indices of
its alarms. An alarm is a change point for the worse (lower) that no night before had reported within 5 nights of it.
"""

import json
import sys

NEAR = 5


def asv(values: list[float]) -> list[int]:
    """asv's regressions are steps upwards of a time; 5 % is its default threshold."""
    from asv.step_detect import detect_regressions, detect_steps

    _, _, found = detect_regressions(detect_steps([100 / value for value in values]), 0.05)
    return [after for _, after, _, _ in found or ()]


def otava(values: list[float]) -> list[int]:
    """With its default options."""
    from otava.analysis import compute_change_points

    points, _ = compute_change_points(values, window_len=50, max_pvalue=0.001, min_magnitude=0.0)
    return [point.index for point in points if point.stats.mean_2 < point.stats.mean_1]


def alarms(detector, values: list[float], first: int, last: int) -> list[int]:
    known: list[int] = []
    found: list[int] = []
    for night in range(first - 1, last):  # what the night before the first one had reported is nothing new
        for place in detector(values[: night + 1]):
            if all(abs(place - other) > NEAR for other in known):
                known.append(place)
                if night >= first:
                    found.append(night)
    return found


def main() -> None:
    detector = {"asv": asv, "otava": otava}[sys.argv[1]]
    asked = json.load(sys.stdin)
    print(json.dumps([alarms(detector, values, asked["first"], asked["last"]) for values in asked["series"]]))


if __name__ == "__main__":
    main()
