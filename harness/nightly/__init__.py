"""Nights: measure a suite, look for changes, measure again what seems to have changed, tell it.

`night.py` is the whole, from top to bottom. Beside the pipeline and the doctor the only room that sees both halves.
"""
