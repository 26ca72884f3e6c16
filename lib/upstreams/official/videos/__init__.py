"""Videos of the official API: ordering, looking."""
