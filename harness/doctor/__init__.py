"""The examination of a machine: what is installed, whether it is quiet, what it can tell apart."""
