"""Files that a request names: fetching them safely, and what a file is."""
