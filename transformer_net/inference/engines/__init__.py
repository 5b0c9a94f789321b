"""What computes a painting: PyTorch, OpenVINO or ONNX Runtime, in one of four precisions."""
