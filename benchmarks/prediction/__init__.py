"""What style predictors make of unknown pictures; `python -m benchmarks.prediction`."""
