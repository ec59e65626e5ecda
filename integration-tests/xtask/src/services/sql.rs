//! What MariaDB and MySQL have in common: where a server's settings, address and folders go.
//!
//! Owns the layout of the data folder; the recipes fill it.

use std::fs;

use super::{Places, free_ports, write};
use crate::error::{Result, While};

/// Writes the settings and the address and makes the folders of the next start; tells whether there is data already.
pub(super) fn has_data(
    places: &Places,
    port: [u16; 1],
    settings: fn(&Places, u16) -> String,
) -> Result<bool> {
    let [port] = free_ports(port)?;
    write(&places.data.join("my.cnf"), &settings(places, port))?;
    write(&places.address_file(), &format!("127.0.0.1:{port}\n"))?;
    for folder in ["run", "tmp"] {
        let dir = places.data.join(folder);
        fs::create_dir_all(&dir).cannot(|| format!("make {}", dir.display()))?;
    }
    Ok(places.data.join("data/mysql").is_dir())
}
