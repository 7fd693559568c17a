"""A stranger's run: an archive that measures a phone by itself, and what comes back of it made a run again."""
