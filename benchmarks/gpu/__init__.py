"""What a GPU paints: python -m benchmarks.gpu"""
