"""What Android's programs print → values. Pure; what cannot be understood is None or left out, never 0."""
