//! `fork`: branches side by side.

use crate::codes;
use crate::program::{Fork, Kind};
use crate::reader::{Place, Reader};

use super::task::Site;
use super::{Compiler, MAX_BRANCHES};

impl<'a> Compiler<'a> {
    pub(super) fn fork(&mut self, place: &Place<'a>, site: &Site) -> Option<Kind> {
        let mut reader = Reader::open(place.clone(), self.sink, "`fork`")?;
        let compete = reader.flag("compete", false);
        let branches = reader.need("branches");
        reader.finish();
        let branches = branches?;
        let count = branches.node.items().len();
        if count > MAX_BRANCHES {
            let message = format!("the fork has {count} branches; the limit fork-branches is {MAX_BRANCHES}");
            self.sink.push(branches.key_error(codes::LIMIT_BRANCHES, message));
            return None;
        }
        let branches = self.branches(&branches, site.id, site.scope)?;
        Some(Kind::Fork(Fork { compete, branches }))
    }
}
