"""Neutral values for chat requests and replies, the same for every client and every upstream."""
