"""Native runners: name → how to make one. Adding a runner is one module and one line in RUNTIMES."""
