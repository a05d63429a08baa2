"""Targets for a coverage-guided fuzzer, and what it has found worth keeping."""
