"""Checkpoints in the layout that Meta releases: `consolidated.00.pth` and `params.json`; see docs/executorch.md."""
