"""Results of other tools: read into trials, and made a run like any other."""
