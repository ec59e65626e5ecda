#!/bin/sh
# Charges or refunds. The first attempt at a charge fails, as it does on a busy day.
if [ "$1" = charge ] && [ "${TIDEMILL_ATTEMPT:-1}" -lt 2 ]; then
    echo "the bank is busy" >&2
    exit 1
fi
printf '{"%s": true}\n' "$1"
