"""What the gateway costs, measured against a smaller program in the same run (docs/performance.md)."""
