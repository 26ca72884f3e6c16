"""Neutral values: what a chat request asks and what a reply consists of, whoever speaks."""
