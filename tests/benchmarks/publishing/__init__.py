"""What is logic in the benchmarks, and no measurement."""
