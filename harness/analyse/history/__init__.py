"""History: many runs of one suite as series of nights, and where a series changed."""
