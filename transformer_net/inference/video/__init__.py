"""Videos, frame by frame, with their sound, and animated pictures."""
