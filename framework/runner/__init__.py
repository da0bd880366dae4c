"""Requests -> steps -> tokens: one loop for every model that says what cache it needs."""
