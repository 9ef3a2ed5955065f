"""`python -m tracin_dask` is the command `tracin-dask`."""

from tracin_dask.cli.main import main

if __name__ == "__main__":
    main()
