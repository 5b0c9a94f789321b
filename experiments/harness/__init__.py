"""What all experiments use: runs and their store, the two training tasks, intervals, drawing."""
