"""The front door of FleetFlow: settings, connections, the command line and the embedded stack."""
