//! `do`: a nested list.

use crate::history::Begin;
use crate::machine::Begun;

pub(super) fn begin() -> Begun {
    Begun::Open(Begin::Plain)
}
