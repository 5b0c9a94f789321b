"""Speed, memory and quality, ours beside others'."""
