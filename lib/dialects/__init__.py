"""The clients' wire formats: JSON to neutral values, neutral events to JSON; no I/O."""
