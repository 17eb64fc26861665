"""What an arbitration id says: the parts of a J1939 id, and the ids of OBD-II requests and replies."""

from __future__ import annotations

from dataclasses import dataclass

GLOBAL_ADDRESS = 0xFF
NULL_ADDRESS = 0xFE
TP_CM, TP_DT = 0xEC00, 0xEB00
DM1, DM2 = 0xFECA, 0xFECB


@dataclass(frozen=True)
class J1939Id:
    """Parts of a 29-bit id (SAE J1939-21, 5.2). A PDU2 group goes to all: its destination is 0xFF."""

    priority: int
    pgn: int
    source: int
    destination: int


def j1939_id(arbitration_id: int) -> J1939Id:
    """Take a 29-bit id apart. Below PDU format 240 the specific byte is an address, from there part of the PGN."""
    page_and_format = arbitration_id >> 16 & 0x3FF
    specific = arbitration_id >> 8 & 0xFF
    addressed = page_and_format & 0xFF < 240
    return J1939Id(
        priority=arbitration_id >> 26 & 7,
        pgn=page_and_format << 8 | (0 if addressed else specific),
        source=arbitration_id & 0xFF,
        destination=specific if addressed else GLOBAL_ADDRESS,
    )


def is_obd_reply(arbitration_id: int, is_extended: bool) -> bool:
    """Tell whether an ECU answers the tester: 0x7E8-0x7EF, or 0x18DAF1xx (ISO 15765-4)."""
    if is_extended:
        return arbitration_id & 0x1FFFFF00 == 0x18DAF100
    return 0x7E8 <= arbitration_id <= 0x7EF


def is_obd_request(arbitration_id: int, is_extended: bool) -> bool:
    """Tell whether the tester asks or controls a flow: 0x7DF, 0x7E0-0x7E7, 0x18DB33F1 or 0x18DAxxF1."""
    if is_extended:
        return arbitration_id == 0x18DB33F1 or arbitration_id & 0x1FFF00FF == 0x18DA00F1
    return arbitration_id == 0x7DF or 0x7E0 <= arbitration_id <= 0x7E7
