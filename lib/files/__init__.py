"""Files of a request: fetching them safely, and finding their kind."""
