"""Feed-forward style transfer: the network, its training and its use. Knows nothing of the web."""
