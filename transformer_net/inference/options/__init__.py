"""What a visitor can choose besides style and normalizer."""
