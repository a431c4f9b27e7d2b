//! Reloads of parts that only remember what they were given.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::config::Origin;

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
        *self.0.lock().unwrap() = Ok(config);
    }

    fn source(&self) -> Box<Source> {
        let file = self.0.clone();
        Box::new(move || {
            file.lock().unwrap().clone().map(|config| Loaded {
                config,
                notes: Vec::new(),
                surroundings: Vec::new(),
            })
        })
    }
}

fn wrong(key: &str) -> ConfigError {
    ConfigError { origin: Origin::Unset, key: key.to_owned(), message: "expected better".to_owned() }
}

/// A part that remembers how many entries it was told are the most.
fn entries() -> (Part, Arc<Mutex<u64>>) {
    let entries = Arc::new(Mutex::new(0));
    let told = Arc::clone(&entries);
    (Part::new(&["limits"], move |config| *told.lock().unwrap() = config.limits.max_entries), entries)
}

fn report(applied: &[&str], restart: &[&str]) -> Report {
    let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    Report { applied: owned(applied), restart: owned(restart) }
}

#[test]
fn changes_are_told_once_in_force_and_until_the_restart_where_they_are_not() {
    let (file, (part, entries)) = (File::new(), entries());
    let reload = Reload::new(&Config::default(), Some(file.source()), vec![part]);
    assert_eq!(reload.reload().unwrap(), report(&[], &[]));

    file.write(|config| {
        config.limits.max_entries = 7;
        config.server.threads = 3;
    });
    assert_eq!(reload.reload().unwrap(), report(&["limits.max_entries"], &["server.threads"]));
    assert_eq!(*entries.lock().unwrap(), 7);
    assert_eq!(reload.reload().unwrap(), report(&[], &["server.threads"]));

    file.write(|_| {});
    assert_eq!(reload.reload().unwrap(), report(&["limits.max_entries"], &[]));
    assert_eq!(*entries.lock().unwrap(), Config::default().limits.max_entries);
}

#[test]
fn a_bad_configuration_changes_nothing() {
    let (file, (part, entries)) = (File::new(), entries());
    let reload = Reload::new(&Config::default(), Some(file.source()), vec![part]);
    *file.0.lock().unwrap() = Err(ConfigErrors(vec![wrong("a"), wrong("b")]));
    let Err(ReloadError::Refused(errors)) = reload.reload() else { panic!("not refused") };
    assert_eq!(errors.0.len(), 2);
    assert_eq!(*entries.lock().unwrap(), 0, "a part was given something");
    file.write(|config| config.limits.max_entries = 7);
    assert_eq!(reload.reload().unwrap(), report(&["limits.max_entries"], &[]));
}

#[test]
fn one_part_that_refuses_stops_all_and_all_refusals_are_told() {
    let (file, (part, entries)) = (File::new(), entries());
    let refusing = |key| Part::checked(&["log"], move |_| Err(wrong(key)));
    let parts = vec![refusing("one"), part, refusing("two")];
    let reload = Reload::new(&Config::default(), Some(file.source()), parts);
    let Err(ReloadError::Refused(errors)) = reload.reload() else { panic!("not refused") };
    assert_eq!(errors.0, [wrong("one"), wrong("two")]);
    assert_eq!(*entries.lock().unwrap(), 0, "a part was given something");
}

#[test]
fn a_part_may_wait_for_a_restart_or_be_renewed_without_a_change() {
    let file = File::new();
    let parts = vec![
        Part::checked(&["log"], |_| Ok(Ready::AfterRestart)),
        Part::checked(&["server.tls"], |_| Ok(Ready::renewing(vec!["server.tls.cert"], |_| ()))),
    ];
    let reload = Reload::new(&Config::default(), Some(file.source()), parts);
    file.write(|config| config.log.format = crate::config::LogFormat::Json);
    assert_eq!(reload.reload().unwrap(), report(&["server.tls.cert"], &["log.format"]));
    assert_eq!(reload.reload().unwrap(), report(&["server.tls.cert"], &["log.format"]));
}

#[test]
fn a_key_is_covered_by_itself_or_its_section() {
    let part = Part::new(&["limits", "server.threads"], |_| ());
    for covered in ["limits", "limits.max_entries", "server.threads"] {
        assert!(part.covers(covered), "{covered}");
    }
    for other in ["server", "limitsx", "limit", "server.threadsx", "rate_limits.ci", ""] {
        assert!(!part.covers(other), "{other}");
    }
}

#[test]
fn there_may_be_nothing_to_re_read() {
    let reload = Reload::new(&Config::default(), None, Vec::new());
    assert!(matches!(reload.reload(), Err(ReloadError::NothingToReread)));
}

#[test]
fn one_reload_at_a_time() {
    let (inside, most, all) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let counts = Arc::new((inside, most, all));
    let source: Box<Source> = Box::new({
        let counts = Arc::clone(&counts);
        move || {
            let (inside, most, all) = &*counts;
            most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Long enough for the others to come in, if anything let them.
            thread::sleep(Duration::from_millis(2));
            inside.fetch_sub(1, Ordering::SeqCst);
            let mut config = Config::default();
            config.limits.max_entries = all.fetch_add(1, Ordering::SeqCst) as u64 + 1;
            Ok(Loaded { config, notes: Vec::new(), surroundings: Vec::new() })
        }
    });
    let (part, entries) = entries();
    let reload = Reload::new(&Config::default(), Some(source), vec![part]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| reload.reload().unwrap());
        }
    });
    assert_eq!(counts.1.load(Ordering::SeqCst), 1);
    assert_eq!(*entries.lock().unwrap(), 8, "the last reload is the one in force");
}

#[test]
fn a_part_that_dies_does_not_end_reloading() {
    let (file, dies) = (File::new(), Arc::new(AtomicUsize::new(1)));
    let part = {
        let dies = Arc::clone(&dies);
        Part::new(&["limits"], move |_| assert_eq!(dies.swap(0, Ordering::SeqCst), 0, "dies once"))
    };
    let reload = Reload::new(&Config::default(), Some(file.source()), vec![part]);
    thread::scope(|scope| assert!(scope.spawn(|| reload.reload()).join().is_err()));
    file.write(|config| config.limits.max_entries = 7);
    assert_eq!(reload.reload().unwrap(), report(&["limits.max_entries"], &[]));
}

#[test]
fn nothing_shows_a_value() {
    let mut config = Config::default();
    config.server.public_url = "https://user-secret.example".parse().ok();
    let reload = Reload::new(&config, None, vec![entries().0]);
    assert_eq!(format!("{reload:?}"), r#"Reload { parts: [Part { keys: ["limits"], .. }], .. }"#);
}
