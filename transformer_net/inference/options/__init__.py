"""What a visitor can choose beside style and normalizer."""
