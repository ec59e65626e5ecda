#!/bin/sh
# Makes the bucket if it is not there, uploads an object and prints its key. curl signs (version 7.75 or newer).
# MINIO is the server's host:port.
set -eu
send() {
    curl -sS --fail-with-body -o /dev/null -H x-amz-content-sha256:UNSIGNED-PAYLOAD --aws-sigv4 aws:amz:us-east-1:s3 --user tidemill:tidemill-secret "$@"
}
send -I "http://$MINIO/photos" 2>/dev/null || send -X PUT "http://$MINIO/photos"
send -X PUT --data-binary 'a mill seen from afar' -H 'content-type: image/png' "http://$MINIO/photos/in/mill.png"
echo in/mill.png
