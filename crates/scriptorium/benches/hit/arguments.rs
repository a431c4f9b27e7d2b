//! The command line of both benches.

use clap::Parser;

use crate::proxy::Case;
use crate::wiring::Wiring;

/// What a hit costs. Without an argument: a table.
#[derive(Debug, Parser)]
pub(crate) struct Arguments {
    /// Fail when a hit costs more than its budget
    #[arg(long)]
    pub(crate) check: bool,
    /// Write what hits cost now into the budget
    #[arg(long, conflicts_with = "check")]
    pub(crate) bless: bool,
    /// Make hits of one kind in this process and print what they cost; logs them to standard error
    #[arg(long, conflicts_with_all = ["check", "bless"])]
    pub(crate) only: Option<Case>,
    /// How many
    #[arg(long, requires = "only")]
    pub(crate) hits: Option<u32>,
    /// How the proxy is wired, for a kind of hit by itself
    #[arg(long, value_name = "WIRING", default_value = "plain")]
    pub(crate) with: Wiring,
    /// What `cargo bench` adds
    #[arg(long, hide = true)]
    bench: bool,
}
