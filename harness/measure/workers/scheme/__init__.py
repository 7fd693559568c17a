"""What a compressed checkpoint holds and what it computes; see docs/variants.md."""
