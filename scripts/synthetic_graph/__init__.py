"""Synthetic knowledge graphs."""
