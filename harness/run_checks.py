"""Whether the parts of a plan fit each other: who reads a run relies on every name in it."""

from harness.values import Plan


def plan_contradicts(plan: Plan) -> str | None:
    """What in a plan does not fit, or None."""
    suite = plan.suite
    variants = {v.name for v in suite.variants}
    if len(variants) != len(suite.variants):
        return "a variant is there twice"
    for name in suite.baselines:
        if name not in variants:
            return f"the baseline {name!r} is no variant"
    keys: set[str] = set()
    for cell in plan.cells:
        if cell.key in keys:
            return f"the cell {cell.key} is there twice"
        keys.add(cell.key)
        if cell.variant is not None and cell.variant not in variants:
            return f"the cell {cell.key} is of a variant {cell.variant!r} that is not there"
        if cell.device not in plan.facts:
            return f"the cell {cell.key} is on a device {cell.device!r} of which nothing is known"
    trials: set[str] = set()
    for trial in plan.trials:
        if trial.id in trials:
            return f"the trial {trial.id!r} is there twice"
        trials.add(trial.id)
        if trial.cell not in keys:
            return f"the trial {trial.id!r} is of a cell {trial.cell!r} that is not there"
    return None
