"""The program that makes compressed checkpoints, `bench-compress`; see docs/variants.md."""
