"""The command `python -m website`."""

from __future__ import annotations

import argparse

from website.build import build

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="website", description="Builds the documentation site in build/site/html.")
    parser.add_argument("--source", help="address of the repository's files on the web: https://HOST/NAME/blob/main")
    print(build(parser.parse_args().source) / "index.html")
