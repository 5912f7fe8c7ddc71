"""Reads runs folders and leaderboards into typed records."""
