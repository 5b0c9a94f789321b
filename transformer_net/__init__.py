"""Feed-forward style transfer: the network, its training and its use. Does not know the web."""
