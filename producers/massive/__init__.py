"""Massive's (once Polygon's) stock and option data: option symbols, trade conditions, messages, and capture files."""
