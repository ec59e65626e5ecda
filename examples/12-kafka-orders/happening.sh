#!/bin/sh
# Writes one order to the topic `orders` with the customer as its key, and prints the key. KAFKA is the broker's host:port.
set -eu
order='{"order":"A-17","items":[{"price":12.5,"count":2},{"price":3,"count":1}]}'
echo "customer-4|$order" | kcat -b "$KAFKA" -P -t orders -K '|'
echo customer-4
