//! The words for authors of definitions: init and fmt.

use std::path::PathBuf;

use clap::Args;

/// `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder of the project.
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
}

/// `fmt`.
#[derive(Debug, Args)]
pub struct FmtArgs {
    /// Files or folders; - reads standard input and writes standard output.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Change nothing; exit code 3 if something would.
    #[arg(long)]
    pub check: bool,
}
