"""What can be painted: the catalogue, the style pictures and the painters that drew them."""
