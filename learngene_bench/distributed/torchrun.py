"""A torchrun that ends with the process that started it, however that one ends."""

from __future__ import annotations

from torch.distributed.run import main

from learngene_bench.util.signals import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    main()
