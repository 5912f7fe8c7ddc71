"""`lgbench check`: checks that a method keeps its contract."""
