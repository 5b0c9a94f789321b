"""ASGI middleware: what is decided about a request before its body is read."""
