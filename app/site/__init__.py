"""The static page that paints in the browser; `python -m app.site` builds it."""
