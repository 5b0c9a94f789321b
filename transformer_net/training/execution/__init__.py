"""How a run is executed: CUDA graphs, several processes, signals, schedules of saving, TensorBoard."""
