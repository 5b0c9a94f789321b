"""Many files: which there are, which paintings are cached, and how the others are painted."""
