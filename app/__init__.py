"""The web: the HTTP API, the page, and the one queue that both paint through."""
