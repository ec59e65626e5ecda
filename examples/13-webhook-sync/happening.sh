#!/bin/sh
# Asks for a quote as the shop does: signed. The answer goes to standard error; the subject of the event is printed.
# SERVER is the host:port of tidemill.
set -eu
body='{"order": "4711", "items": [{"name": "lamp", "price": 30, "count": 1}, {"name": "desk", "price": 60, "count": 2}]}'
time=$(date +%s)
made=$(printf '%s.%s' "$time" "$body" | openssl dgst -sha256 -hmac a-long-random-text-of-the-shop -r | cut -d' ' -f1)
curl -sS --fail-with-body "http://$SERVER/hooks/default/quotes" -H 'content-type: application/json' \
    -H "x-shop-signature: t=$time,v1=$made" -H "idempotency-key: quote-$time" -d "$body" >&2
echo 4711
