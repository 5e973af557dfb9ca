"""`python -m sweep`."""

import sys
from importlib import import_module
from pathlib import Path


def import_packages() -> None:
    """Import the packages without the working directory, which `python -m` puts first on the path: a user's
    own `vae.py` or `studies/` there would be taken for them."""
    here = sys.path.pop(0) if sys.path[0] == str(Path.cwd()) else None
    if here == str(Path(__file__).resolve().parent.parent):
        sys.path.insert(0, here)
    for package in ("vae", "data_io", "studies"):
        import_module(package)
    if here is not None and here not in sys.path:
        sys.path.append(here)


if __name__ == "__main__":
    import_packages()
    from sweep.cli.app import main

    main()
