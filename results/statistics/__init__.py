"""Statistics of paired runs: spread, tests, intervals, ranks."""
