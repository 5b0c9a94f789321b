"""The loss network and the losses that it computes."""
