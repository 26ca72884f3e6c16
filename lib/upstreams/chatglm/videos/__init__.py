"""Videos: ordering, looking, cleaning up."""
