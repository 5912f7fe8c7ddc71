"""The checks behind `lgbench check`: whether an initializer keeps its contract."""
