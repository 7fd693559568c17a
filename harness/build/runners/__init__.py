"""Native runners: sources, and how to make a program of them. One module a runner."""
