"""Runs that are disturbed on purpose, and the checks that nothing is wrong or left afterwards."""
