"""The initializers without the benchmark: `learngene_bench.initialize(model, method)`."""
