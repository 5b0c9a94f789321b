"""Style prediction: any picture's style at once, without training."""
