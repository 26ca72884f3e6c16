"""Files that a caller names: fetched from public addresses only, never whole in memory."""
