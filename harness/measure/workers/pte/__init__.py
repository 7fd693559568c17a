"""The program that runs `.pte` files by ExecuTorch, `bench-executorch`; see docs/runner-protocol.md."""
