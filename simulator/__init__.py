"""Imitations of the upstreams, as strict as the real ones; they import nothing of lib/."""
