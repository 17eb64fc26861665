"""What a partner's YAML file says, read whole and checked before anything is fetched."""
