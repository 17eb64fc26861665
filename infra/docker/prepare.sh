#!/bin/sh
# Runs once before the other containers; safe to repeat.
set -eu
airflow db migrate
fleetflow migrate
python infra/docker/prepare.py
