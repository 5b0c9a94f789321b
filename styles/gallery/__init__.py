"""What made the gallery: painters of the style pictures, training, figures, int8 ranges, documents."""
