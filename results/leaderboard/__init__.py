"""Leaderboards: records that others can check, with tables made from them."""
