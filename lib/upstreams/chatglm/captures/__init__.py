"""Recording the streams of the upstream for bug reports."""
