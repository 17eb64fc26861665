from __future__ import annotations

import pytest

from domain.contracts import ENTITIES
from ingestion.cdc import TABLES
from ingestion.cdc.errors import PublicationError
from ingestion.cdc.layout import Layout, SourceColumn
from ingestion.cdc.publication import check_allowed


def test_every_entity_is_published_and_personal_data_is_not() -> None:
    assert TABLES.keys() == ENTITIES.keys()
    for name, entity in ENTITIES.items():
        personal = {column.name for column in entity.columns if column.pii}
        assert bool(personal) == (TABLES[name] is not None)
        assert not personal & set(TABLES[name] or ())


def test_drivers_and_vehicles_are_allow_listed() -> None:
    drivers, vehicles = TABLES["drivers"], TABLES["vehicles"]
    assert drivers is not None
    assert vehicles is not None
    assert {"full_name", "phone", "licence_number"}.isdisjoint(drivers)
    assert {"plate", "vin"}.isdisjoint(vehicles)


def test_a_column_beyond_the_list_is_refused() -> None:
    layout = Layout(1, (SourceColumn("driver_id", 25, -1), SourceColumn("full_name", 25, -1)))
    check_allowed("sites", layout, None)
    with pytest.raises(PublicationError, match="full_name"):
        check_allowed("drivers", layout, ("driver_id",))
