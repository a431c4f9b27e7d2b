//! Reloads of parts that only remember what they were given.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::config::ValueOrigin;

/// A source that answers what was last written into it.
#[derive(Clone)]
struct File(Arc<Mutex<Result<Config, ConfigErrors>>>);

impl File {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Ok(Config::default()))))
    }

    fn write(&self, change: impl FnOnce(&mut Config)) {
        let mut config = Config::default();
        change(&mut config);
        *self.0.lock() = Ok(config);
    }

    fn source(&self) -> Box<ConfigSource> {
        let file = self.0.clone();
        Box::new(move || {
            file.lock().clone().map(|config| Loaded {
                config,
                notes: Vec::new(),
                from_environment: Vec::new(),
            })
        })
    }
}

fn wrong(key: &str) -> ConfigError {
    ConfigError {
        origin: ValueOrigin::Unset,
        key: Some(key.to_owned()),
        message: "expected better".to_owned(),
    }
}

type Prepare = dyn Fn(&Config) -> Result<PreparedChange, ConfigError> + Send + Sync;

/// Parts that each prepare in a way of their own; the others need a restart.
#[derive(Default)]
struct FakeParts(BTreeMap<AppliedBy, Box<Prepare>>);

impl FakeParts {
    fn with(
        mut self,
        part: AppliedBy,
        prepare: impl Fn(&Config) -> Result<PreparedChange, ConfigError> + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(part, Box::new(prepare));
        self
    }
}

impl ReloadableParts for FakeParts {
    fn prepare(&self, part: AppliedBy, config: &Config) -> Result<PreparedChange, ConfigError> {
        self.0.get(&part).map_or(Ok(PreparedChange::NeedsRestart), |prepare| prepare(config))
    }
}

/// Parts of which one remembers the highest number of entries that it was given.
fn entries() -> (FakeParts, Arc<Mutex<u64>>) {
    let entries = Arc::new(Mutex::new(0));
    let given = Arc::clone(&entries);
    let prepare = move |_: &Config| {
        let given = Arc::clone(&given);
        Ok(PreparedChange::apply(move |config| *given.lock() = config.limits.max_entries))
    };
    (FakeParts::default().with(AppliedBy::Files, prepare), entries)
}

fn reload_of(source: Option<Box<ConfigSource>>, parts: FakeParts) -> Reload {
    Reload::new(&Config::default(), source, Box::new(parts))
}

fn report(applied: &[&str], restart: &[&str]) -> ReloadReport {
    let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    ReloadReport { applied: owned(applied), restart: owned(restart) }
}

#[test]
fn changes_are_told_once_in_force_and_until_the_restart_where_they_are_not() {
    let (file, (parts, entries)) = (File::new(), entries());
    let reload = reload_of(Some(file.source()), parts);
    assert_eq!(reload.reload().unwrap(), report(&[], &[]));

    file.write(|config| {
        config.limits.max_entries = 7;
        config.server.threads = 3;
    });
    assert_eq!(reload.reload().unwrap(), report(&["limits.max_entries"], &["server.threads"]));
    assert_eq!(*entries.lock(), 7);
    assert_eq!(reload.reload().unwrap(), report(&[], &["server.threads"]));

    file.write(|_| {});
    assert_eq!(reload.reload().unwrap(), report(&["limits.max_entries"], &[]));
    assert_eq!(*entries.lock(), Config::default().limits.max_entries);
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let (file, (parts, entries)) = (File::new(), entries());
    let reload = reload_of(Some(file.source()), parts);
    *file.0.lock() = Err(ConfigErrors(vec![wrong("a"), wrong("b")]));
    let Err(ReloadError::Refused(errors)) = reload.reload() else { panic!("not refused") };
    assert_eq!(errors.0.len(), 2);
    assert_eq!(*entries.lock(), 0, "a part was given something");
    file.write(|config| config.limits.max_entries = 7);
    assert_eq!(reload.reload().unwrap(), report(&["limits.max_entries"], &[]));
}

#[test]
fn one_part_that_refuses_stops_all_and_all_refusals_are_told() {
    let (file, (parts, entries)) = (File::new(), entries());
    let parts = parts
        .with(AppliedBy::Documents, |_| Err(wrong("one")))
        .with(AppliedBy::AdminToken, |_| Err(wrong("two")));
    let reload = reload_of(Some(file.source()), parts);
    let Err(ReloadError::Refused(errors)) = reload.reload() else { panic!("not refused") };
    assert_eq!(errors.0, [wrong("one"), wrong("two")]);
    assert_eq!(*entries.lock(), 0, "a part was given something");
}

#[test]
fn a_part_may_wait_for_a_restart() {
    let file = File::new();
    let parts = FakeParts::default().with(AppliedBy::Files, |_| Ok(PreparedChange::NeedsRestart));
    let reload = reload_of(Some(file.source()), parts);
    file.write(|config| config.limits.max_entries = 7);
    assert_eq!(reload.reload().unwrap(), report(&[], &["limits.max_entries"]));
    assert_eq!(reload.reload().unwrap(), report(&[], &["limits.max_entries"]));
}

#[test]
fn there_may_be_nothing_to_re_read() {
    let reload = reload_of(None, FakeParts::default());
    assert!(matches!(reload.reload(), Err(ReloadError::NothingToReread)));
}

#[test]
fn one_reload_at_a_time() {
    let (inside, most, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let counts = Arc::new((inside, most, all));
    let source: Box<ConfigSource> = Box::new({
        let counts = Arc::clone(&counts);
        move || {
            let (inside, most, all) = &*counts;
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Long enough for the others to come in, if anything let them.
            thread::sleep(Duration::from_millis(2));
            inside.fetch_sub(1, Ordering::SeqCst);
            let mut config = Config::default();
            config.limits.max_entries = all.fetch_add(1, Ordering::SeqCst) as u64 + 1;
            Ok(Loaded { config, notes: Vec::new(), from_environment: Vec::new() })
        }
    });
    let (parts, entries) = entries();
    let reload = reload_of(Some(source), parts);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| reload.reload().unwrap());
        }
    });
    assert_eq!(counts.1.load(Ordering::SeqCst), 1);
    assert_eq!(*entries.lock(), 8, "the last reload is the one in force");
}

#[test]
fn a_part_that_dies_does_not_end_reloading() {
    let (file, dies) = (File::new(), Arc::new(AtomicUsize::new(1)));
    let prepare = {
        let dies = Arc::clone(&dies);
        move |_: &Config| {
            let dies = Arc::clone(&dies);
            Ok(PreparedChange::apply(move |_| assert_eq!(dies.swap(0, Ordering::SeqCst), 0, "dies once")))
        }
    };
    let parts = FakeParts::default().with(AppliedBy::Files, prepare);
    let reload = reload_of(Some(file.source()), parts);
    thread::scope(|scope| assert!(scope.spawn(|| reload.reload()).join().is_err()));
    file.write(|config| config.limits.max_entries = 7);
    assert_eq!(reload.reload().unwrap(), report(&["limits.max_entries"], &[]));
}

#[test]
fn nothing_shows_a_value() {
    let mut config = Config::default();
    config.server.public_url = "https://user-secret.example".parse().ok();
    let reload = Reload::new(&config, None, Box::new(entries().0));
    assert_eq!(format!("{reload:?}"), "Reload { .. }");
}
