"""Plain servers which the benchmarks compare the project with."""
