"""Painting in the browser: python -m benchmarks.browser"""
