"""How data gets in: streams, landing, change data capture. Never imports airflow or fleetflow."""
