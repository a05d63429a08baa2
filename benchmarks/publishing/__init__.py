"""From what benchmarks have found to the tables, plots and verdicts that are published."""
