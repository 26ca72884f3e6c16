"""One use case each: what happens between a neutral request and its events. Time and retries live here."""
