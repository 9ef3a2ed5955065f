"""Carries out a plan, in this process or on Dask."""
