"""Fixtures of several files here."""

import pytest


@pytest.fixture
def without_pngs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that has no browser to draw the figures' PNG files with."""
    monkeypatch.setattr("sweep.report.static.BROWSERS", ("no-such-browser",))
