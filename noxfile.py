#!/usr/bin/env -S uv run --script
# /// script
# dependencies = ["nox>=2025.10.14"]
# ///
"""Sessions of nox: each calls a script, which makes the environment that it needs. `nox --list` names them."""

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "none"


@nox.session
def check(session: nox.Session) -> None:
    """Check style, types, imports and workflows."""
    session.run("scripts/check", external=True)


@nox.session
def test(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    session.run("scripts/test", *session.posargs, external=True)


@nox.session(default=False)
def lowest(session: nox.Session) -> None:
    """Run tests with the lowest dependencies, on the oldest Python."""
    session.run("scripts/test_versions", "python3.11", "lowest", *session.posargs, external=True)


@nox.session(default=False)
@nox.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
def newest(session: nox.Session, python: str) -> None:
    """Run tests with the newest dependencies."""
    session.run("scripts/test_versions", f"python{python}", "newest", *session.posargs, external=True)


@nox.session(default=False)
def wheel(session: nox.Session) -> None:
    """Build the wheel, and go from it to a first explanation."""
    session.run("scripts/try_wheel", external=True)


if __name__ == "__main__":
    nox.main()
