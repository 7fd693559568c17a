"""Runs → deltas with intervals: everything a page shows, and nothing that knows pages or devices."""
