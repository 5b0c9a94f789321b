"""Videos, frame by frame, with their sound."""
