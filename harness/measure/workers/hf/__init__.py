"""The program `bench-hf`: Hugging Face checkpoints by torch. `python -m harness.measure.workers.hf JOB EVENTS`."""
