"""The main job, once, from an empty machine to the morning report."""
