"""Training a style predictor: many style pictures, each with photos of its own in every batch."""
