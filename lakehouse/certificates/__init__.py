"""Certificates of completeness: what each layer holds of a session, counted and hashed, and whether it still does."""
