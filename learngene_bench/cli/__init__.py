"""The command `lgbench`: one module for each verb. Nothing here imports torch."""
