#!/bin/sh
# Reserves or ships what standard input names. Boats are too long to be shipped.
items=$(cat)
case "$1 $items" in
ship*boat*)
    echo "a boat does not fit into a parcel" >&2
    exit 3
    ;;
esac
printf '{"%s": true}\n' "$1"
