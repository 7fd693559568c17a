"""Claims judged by runs: `check.check` is the way in."""
