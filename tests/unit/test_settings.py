"""Settings: the environment wins, faults are named, secrets do not print."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetflow.settings import SettingsError, load_settings

LOADER = "postgresql://fleet_loader:hidden@127.0.0.1:5432/warehouse"


def test_environment_wins_over_the_stack_file(tmp_path: Path) -> None:
    (tmp_path / "stack.env").write_text(
        f"FLEETFLOW_LOADER_DSN={LOADER}\nFLEETFLOW_RAW_BUCKET=here\n# note\n\n"
    )
    settings = load_settings(tmp_path, {"FLEETFLOW_RAW_BUCKET": "there"})
    assert settings.raw_bucket == "there"
    assert settings.dsn("loader") == LOADER


def test_every_fault_is_named_in_one_line(tmp_path: Path) -> None:
    env = {"FLEETFLOW_FLUSH_ROWS": "many", "FLEETFLOW_LEASE_SECONDS": "0", "FLEETFLOW_OPS_DSN": "mysql://x"}
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path, env)
    message = str(caught.value)
    assert "\n" not in message
    for name in env:
        assert name in message


@pytest.mark.parametrize("value", ["nan", "-1", "0"])
def test_a_number_below_its_floor_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="FLUSH_ROWS"):
        load_settings(tmp_path, {"FLEETFLOW_FLUSH_ROWS": value})


def test_a_missing_address_is_named_when_it_is_wanted(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    with pytest.raises(SettingsError, match="FLEETFLOW_LOADER_DSN is not set"):
        settings.dsn("loader")
    with pytest.raises(SettingsError, match="FLEETFLOW_ORDERS_CDC_DSN is not set"):
        _ = settings.orders_cdc_dsn


def test_secrets_do_not_print(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {"FLEETFLOW_LOADER_DSN": LOADER, "FLEETFLOW_PSEUDONYM_KEY": "hidden"})
    assert "hidden" not in repr(settings)
