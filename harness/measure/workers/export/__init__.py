"""The program that makes `.pte` files of checkpoints, `bench-export`; see docs/executorch.md."""
