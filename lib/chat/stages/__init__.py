"""Stages: pure transformers of neutral events, between an upstream and a dialect."""
