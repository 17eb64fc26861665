#!/bin/sh
# The AWS stand-in as a container. The server listens on the loopback only, as everything of ours does; a relay opens
# it to the other containers, and only when the streams, buckets and the topic are there.
set -eu
python -m fleetflow.local.aws --root /var/lib/fleetflow/aws --port 4567 &
server=$!
trap 'kill "$server"; wait "$server"' TERM INT
python infra/docker/fill_aws.py 4567
socat TCP-LISTEN:4566,fork,reuseaddr TCP:127.0.0.1:4567 &
wait "$server"
