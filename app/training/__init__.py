"""Styles trained from the page, in a process of their own."""
