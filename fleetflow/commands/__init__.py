"""Command groups of the `fleetflow` program; each module registers its own on the app."""
