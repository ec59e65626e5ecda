#!/bin/sh
# Makes the reader and the table if they are not there, writes an order and prints its key.
# MYSQL is the server's host:port; mysql or mariadb is the client.
set -eu
client=$(command -v mysql || command -v mariadb)
"$client" --no-defaults --protocol=tcp -h "${MYSQL%:*}" -P "${MYSQL#*:}" -u root -e "
CREATE USER IF NOT EXISTS 'tidemill'@'%' IDENTIFIED BY 'tidemill-secret';
GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO 'tidemill'@'%';
CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4;
CREATE TABLE IF NOT EXISTS shop.orders (id INT PRIMARY KEY, total DECIMAL(10,2) NOT NULL, items JSON NOT NULL);
REPLACE INTO shop.orders VALUES (4711, 129.90, '[\"mug\", \"tea\"]');"
echo 4711
