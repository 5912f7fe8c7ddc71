"""Makes `python -m learngene_bench` the command `lgbench`."""

from learngene_bench.cli.main import main

if __name__ == "__main__":
    main()
