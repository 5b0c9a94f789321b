"""Many files: which there are, which are painted already, and how they are painted."""
