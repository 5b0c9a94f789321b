"""What the API and the page paint with: models, limits and the one queue."""
