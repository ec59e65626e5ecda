//! `do`: a nested list.

use tidemill_dsl::fault::Fault;

use crate::history::Begin;
use crate::machine::Begun;

pub(super) fn begin() -> Result<Begun, Fault> {
    Ok(Begun::Open(Begin::Plain))
}
