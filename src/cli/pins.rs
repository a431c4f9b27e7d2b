//! `pins export`, `pins import` and `pins check`.
//!
//! Owns which line goes to which stream, and what the exit code says. Must not know how pins are kept, merged or
//! compared.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;

use futures_util::StreamExt;
use serde_json::json;

use super::{PinsCheckArgs, PinsCommand, StorageArgs, storage};
use crate::app;
use crate::audit::pins::{Compared, Registries, Verdict};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Overrides};
use crate::consistency::Pins;
use crate::consistency::pins::import::{LineError, Merged, Proposals, lines};

pub(super) fn run(command: PinsCommand) -> ExitCode {
    let done = match command {
        PinsCommand::Export(storage) => export(&storage),
        PinsCommand::Import { storage, file } => import(&storage, file.as_deref()),
        PinsCommand::Check(args) => check(&args),
    };
    done.unwrap_or_else(|code| code)
}

fn export(storage: &StorageArgs) -> Result<ExitCode, ExitCode> {
    let pins = Pins::new(storage.open()?);
    let mut code = ExitCode::SUCCESS;
    let exported = super::wait(pins.sorted(|error| {
        super::complain(&error.to_string());
        code = ExitCode::FAILURE;
    }))?;
    let written = super::answer_with(|out| exported.iter().try_for_each(|pin| out.write_all(&pin.line())));
    Ok(if written == ExitCode::SUCCESS { code } else { written })
}

fn import(storage: &StorageArgs, file: Option<&Path>) -> Result<ExitCode, ExitCode> {
    let place = storage.load()?;
    let proposals = read(input(file)?)?;
    let pins = Pins::new(storage::open(&place)?);
    let merged = super::wait(proposals.merge(&pins, |conflict| super::complain(&conflict.to_string())))?;
    let Merged { imported, present, conflicts } = merged.map_err(|error| super::fail(&error))?;
    super::complain(&format!("{imported} imported, {present} already there, {conflicts} in conflict"));
    Ok(if conflicts == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn input(file: Option<&Path>) -> Result<Box<dyn BufRead>, ExitCode> {
    let Some(file) = file.filter(|file| *file != Path::new("-")) else {
        let input = io::stdin().lock();
        if input.is_terminal() {
            super::complain("Reading pins from this terminal, one a line; Ctrl-D ends them:");
        }
        return Ok(Box::new(input));
    };
    let opened = File::open(file).map_err(|error| {
        super::complain(&format!("{}: {error}", file.display()));
        ExitCode::from(2)
    })?;
    Ok(Box::new(BufReader::new(opened)))
}

/// Every line, or none and all that is wrong with them.
fn read(input: impl BufRead) -> Result<Proposals, ExitCode> {
    let (mut proposals, mut malformed) = (Proposals::default(), 0_u64);
    for line in lines(input, SystemClock::default().now()) {
        match line {
            Ok(line) if malformed == 0 => proposals.add(line),
            Ok(_) => {}
            Err(error) => {
                super::complain(&error.to_string());
                match error {
                    LineError::Unreadable(_) => return Err(ExitCode::FAILURE),
                    LineError::Malformed { .. } => malformed += 1,
                }
            }
        }
    }
    if malformed > 0 {
        super::complain(&format!("nothing was imported: lines that are no pins: {malformed}"));
        return Err(ExitCode::from(2));
    }
    Ok(proposals)
}

fn check(args: &PinsCheckArgs) -> Result<ExitCode, ExitCode> {
    let loaded = super::load(args.config.as_deref(), Overrides::default());
    let config = loaded.map_err(|errors| super::refuse(&errors))?.config;
    may_ask(&config, args.upstream.as_deref())?;
    let pins = Pins::new(storage::open_existing(&config.storage)?);
    let upstreams = app::upstreams(&config).map_err(|error| super::fail(&error))?;
    let registries = Registries {
        upstreams: &upstreams,
        only: args.upstream.as_deref(),
        max_document: config.limits.max_document,
    };
    let tally = super::wait(async {
        let (mut tally, mut compared) = (Tally::default(), pin!(registries.compare(&pins)));
        while let Some(compared) = compared.next().await {
            match compared {
                Ok(compared) => {
                    tally.count(&compared.verdict);
                    show(&compared, args);
                }
                Err(error) => {
                    tally.not_asked += 1;
                    super::complain(&error.to_string());
                }
            }
        }
        tally
    })?;
    super::answer(&tally.line(args.json));
    Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn may_ask(config: &Config, only: Option<&str>) -> Result<(), ExitCode> {
    let names: Vec<_> = config.upstreams.iter().map(|upstream| &*upstream.name).collect();
    let refusal = match only {
        _ if config.cache.offline => "cache.offline is true: no registry may be asked".to_owned(),
        Some(only) if !names.contains(&only) => {
            format!("--upstream {only}: expected the name of an upstream: {}", names.join(", "))
        }
        Some(_) | None => return Ok(()),
    };
    super::complain(&refusal);
    Err(ExitCode::from(2))
}

fn show(compared: &Compared, args: &PinsCheckArgs) {
    let Compared { pin, upstream, verdict } = compared;
    if args.json {
        let mut line = json!({
            "volume": pin.volume,
            "version": pin.version,
            "pinned": pin.integrity,
            "upstream": upstream,
        });
        if let (Some(line), Ok(serde_json::Value::Object(verdict))) =
            (line.as_object_mut(), serde_json::to_value(verdict))
        {
            line.extend(verdict);
        }
        super::answer(&format!("{line}\n"));
        return;
    }
    let (word, rest) = match verdict {
        Verdict::Same if !args.verbose => return,
        Verdict::Same => ("same", pin.integrity.to_string()),
        Verdict::Different { found } => {
            ("different", format!("pinned {}, the registry now says {found}", pin.integrity))
        }
        Verdict::Withheld { why } => ("withheld", why.clone()),
        Verdict::CouldNotAsk { why } => ("not asked", why.clone()),
    };
    super::answer(&format!("{word:<9}  {} {}: {rest}\n", pin.volume, pin.version));
}

/// How many pins came to what.
#[derive(Debug, Default)]
struct Tally {
    same: u64,
    different: u64,
    withheld: u64,
    not_asked: u64,
}

impl Tally {
    fn count(&mut self, verdict: &Verdict) {
        *match verdict {
            Verdict::Same => &mut self.same,
            Verdict::Different { .. } => &mut self.different,
            Verdict::Withheld { .. } => &mut self.withheld,
            Verdict::CouldNotAsk { .. } => &mut self.not_asked,
        } += 1;
    }

    fn is_clean(&self) -> bool {
        self.different == 0 && self.not_asked == 0
    }

    fn line(&self, as_json: bool) -> String {
        let Self { same, different, withheld, not_asked } = self;
        if as_json {
            let counts = json!({
                "same": same, "different": different, "withheld": withheld, "could-not-ask": not_asked,
            });
            return format!("{}\n", json!({ "summary": counts }));
        }
        let known = format!("{same} same, {different} different, {withheld} withheld");
        format!("{known}, {not_asked} could not be asked about\n")
    }
}
