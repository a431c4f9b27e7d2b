//! Every error at once: one that is told hides no other, and none is told that follows from another.

use super::about::{KeyAbout, Nested};
use super::section::about;
use super::*;

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    Removed,
    /// A list of lists, which no key takes.
    OfNoKind,
    /// A text that names no file, no variable and no word.
    NamesNothing,
}

/// One key of the file, as the steps that lead there.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    steps: Vec<String>,
    name: String,
    is_required: bool,
}

/// Every section, with the places of its keys.
fn sections(keys: &[KeyAbout], path: &str, steps: &[String], found: &mut Vec<Vec<Place>>) {
    let place = |key: &KeyAbout| Place {
        steps: steps.iter().cloned().chain([key.name.to_owned()]).collect(),
        name: if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) },
        is_required: key.required,
    };
    found.push(keys.iter().map(place).collect());
    for key in keys {
        let Place { steps, name, .. } = place(key);
        match &key.nested {
            Nested::Nothing => {}
            Nested::Table(inner) => sections(inner, &name, &steps, found),
            Nested::Tables(inner) => sections(inner, &format!("{name}[0]"), &steps, found),
        }
    }
}

fn every_key() -> Table {
    let mut text = std::fs::read_to_string(testdata("every-key.toml")).unwrap();
    for file in ["server-cert.pem", "server-key.pem", "jwks.json", "roots.txt", "policy.toml"] {
        text = text.replace(&format!("\"{file}\""), &format!("\"{}\"", testdata(file).display()));
    }
    text.parse().unwrap()
}

/// Puts a fault where `steps` lead; of a list of tables the first is meant.
fn spoil(table: &mut Table, steps: &[String], fault: Fault) {
    let [step, rest @ ..] = steps else { return };
    if rest.is_empty() {
        match fault {
            Fault::Removed => drop(table.remove(step)),
            Fault::OfNoKind => drop(table.insert(step.clone(), vec![Value::Array(Vec::new())].into())),
            Fault::NamesNothing => drop(table.insert(step.clone(), "/nowhere/at/all".into())),
        }
        return;
    }
    let inner = match table.get_mut(step) {
        Some(Value::Array(list)) => list.first_mut(),
        inner => inner,
    };
    spoil(inner.and_then(Value::as_table_mut).unwrap(), rest, fault);
}

/// What is told of a file that has these faults in one section, which is in it with what it needs.
fn told(every: &Table, faults: &[(&Place, Fault)]) -> Vec<ConfigError> {
    let mut table: Table = UPSTREAM.parse().unwrap();
    let section = faults.iter().filter(|(place, _)| place.steps.len() > 1).map(|(place, _)| &*place.steps[0]);
    for needed in section.chain(["storage"]) {
        table.insert(needed.to_owned(), every[needed].clone());
    }
    for (place, fault) in faults {
        spoil(&mut table, &place.steps, *fault);
    }
    let env = [
        ("PUBLIC_READ_TOKEN", "hunter2"),
        ("PROXY_CREDENTIAL", "user:hunter2"),
        ("REDIS_PASSWORD", "hunter2"),
    ];
    Site::new(&table.to_string()).load(&env).err().map_or_else(Vec::new, |errors| errors.0)
}

fn is_told(place: &Place, told: &[ConfigError]) -> bool {
    told.iter().any(|error| error.is_about(&place.name))
}

#[test]
fn two_faults_in_one_section_are_both_told() {
    let (every, mut found) = (every_key(), Vec::new());
    sections(&about::<Config>(), "", &[], &mut found);
    for section in found {
        // Of each key the fault that goes deepest: a value of the right kind that is wrong, or a required one that is missing.
        let worst = section.iter().map(|place| {
            let faults = [Fault::OfNoKind, Fault::NamesNothing, Fault::Removed];
            let mut faults = faults.into_iter().filter(|fault| *fault != Fault::Removed || place.is_required);
            let is_alone = |fault: &Fault| is_told(place, &told(&every, &[(place, *fault)]));
            assert!(is_alone(&faults.next().unwrap()), "{place:?} takes everything");
            (place, faults.rfind(is_alone).unwrap_or(Fault::OfNoKind))
        });
        let worst: Vec<_> = worst.collect();
        for (at, one) in worst.iter().enumerate() {
            for other in &worst[at + 1..] {
                let told = told(&every, &[*one, *other]);
                assert!(is_told(one.0, &told) && is_told(other.0, &told), "{one:?} {other:?}: {told:#?}");
            }
        }
    }
}

/// The keys that are told of a file, each once.
fn keys_told(text: &str) -> Vec<String> {
    let mut keys: Vec<_> =
        Site::new(text).load(&[]).unwrap_err().0.into_iter().filter_map(|error| error.key).collect();
    keys.sort();
    keys.dedup();
    keys
}

#[test]
fn a_rule_waits_for_its_own_values_and_for_no_others() {
    let cert = testdata("server-cert.pem").display().to_string();
    let upstream = "[[upstreams]]\nname = \"a\"\n";
    for (text, keys) in [
        (
            format!("{upstream}url = \"ftp://a\"\nca_file = \"/nowhere.pem\"\n"),
            vec!["upstreams[0].ca_file", "upstreams[0].url"],
        ),
        (
            format!("{upstream}client_cert = \"/nowhere.pem\"\n"),
            vec!["upstreams[0].client_cert", "upstreams[0].client_key", "upstreams[0].url"],
        ),
        // What is missing is told of a file that is there.
        (
            format!("{upstream}url = \"http://a\"\nclient_key = \"{cert}\"\n"),
            vec!["upstreams[0].client_cert", "upstreams[0].client_key"],
        ),
        (
            format!("{upstream}proxy = \"http://127.0.0.1:8080\"\nproxy_auth_env = \"UNSET\"\n"),
            vec!["upstreams[0].proxy", "upstreams[0].proxy_auth_env", "upstreams[0].url"],
        ),
        // The default of a bad address is not compared.
        (
            format!("{UPSTREAM}[server]\nlisten = \"here\"\nadmin_listen = \"127.0.0.1:8080\"\n"),
            vec!["server.listen"],
        ),
        (
            format!("{UPSTREAM}[server]\nlisten = \"0.0.0.0:80\"\nadmin_listen = \"0.0.0.0:80\"\n"),
            vec!["server.admin_listen", "server.admin_token_sha256"],
        ),
        ("[cache]\noffline = \"yes\"\n".to_owned(), vec!["cache.offline"]),
        (
            format!("{UPSTREAM}[cluster]\nnodes = 0\n[storage]\nurl = \"file:///data\"\n"),
            vec!["cluster", "cluster.nodes", "cluster.url"],
        ),
        (
            format!(
                "{UPSTREAM}[cluster]\nurl = \"redis://user@engine\"\npassword_env = \"UNSET\"\n[storage]\nurl = \"s3:\"\n"
            ),
            vec!["cluster.password_env", "storage.url"],
        ),
        (format!("{UPSTREAM}[server.tls]\ncert = \"{cert}\"\n"), vec!["server.tls.key"]),
        // An element that cannot be read leaves the numbers of the others.
        (
            format!("{UPSTREAM}[[mirrors]]\nname = \"m\"\nlists = [7, \"/nowhere.txt\"]\n"),
            vec!["mirrors[0].lists[0]", "mirrors[0].lists[1]"],
        ),
        (
            "upstreams = [7, { name = \"a\", url = \"http://127.0.0.1:8080\" }]".to_owned(),
            vec!["upstreams[0]", "upstreams[1].url"],
        ),
        ("\"\" = 1\n[cache]\n\"a b\" = 1\n".to_owned(), vec!["\"\"", "cache.\"a b\"", "upstreams"]),
    ] {
        assert_eq!(keys_told(&text), keys, "{text}");
    }
}

#[test]
fn what_is_missing_has_the_line_of_its_table() {
    let told = errors("\n[[upstreams]]\nname = \"a\"\nurl = \"http://a\"\nclient_cert = \"/nowhere.pem\"\n");
    assert!(told.iter().any(|line| line.starts_with("2:1: upstreams[0].client_key: missing")), "{told:?}");
}

#[test]
fn a_variable_is_named_with_what_is_wrong_and_never_shown() {
    let told = |key: &str, value: Option<&str>| {
        let text = format!("{UPSTREAM}proxy = \"http://proxy\"\n{key} = \"SOME_NAME\"\n");
        let site = match key {
            "password_env" => Site::new(&format!(
                "{UPSTREAM}[storage]\nurl = \"s3://bucket\"\n[cluster]\nurl = \"redis://e\"\n{key} = \"SOME_NAME\"\n"
            )),
            _ => Site::new(&text),
        };
        let env: Vec<_> = value.map(|value| ("SOME_NAME", value)).into_iter().collect();
        let told = site.load(&env).unwrap_err().to_string();
        assert!(told.contains("SOME_NAME") && !told.contains("hunter"), "{told}");
        told
    };
    for key in ["token_env", "git_token_env", "proxy_auth_env", "password_env"] {
        assert!(told(key, None).contains("is not set"), "{key}");
        assert!(told(key, Some(" \n")).contains("is empty"), "{key}");
        assert!(told(key, Some("hunter\u{fffd}:x")).contains("is no UTF-8 text"), "{key}");
    }
    for key in ["token_env", "git_token_env"] {
        assert!(told(key, Some("hunter 2")).contains("has another character at position 7"), "{key}");
    }
    for (value, how) in [
        ("hunter2", "has no colon"),
        (":hunter2", "has no user before the colon"),
        ("http://proxy:3128/hunter", "is a URL without a user"),
        ("user:hun\u{7}ter", "has a control character"),
    ] {
        assert!(told("proxy_auth_env", Some(value)).contains(how), "{value}");
    }
    let secret =
        Site::new(&format!("{UPSTREAM}token_env = \"ghp_hunter2\"\n")).load(&[]).unwrap_err().to_string();
    assert!(secret.contains("is not set") && !secret.contains("hunter"), "{secret}");
}

#[test]
fn a_setting_that_is_no_text_is_refused() {
    let env = [("SCRIPTORIUM_STORAGE__URL", "file:///d\u{fffd}ta")];
    let told = Site::new(UPSTREAM).load(&env).unwrap_err().to_string();
    assert_eq!(told, "SCRIPTORIUM_STORAGE__URL: storage.url: expected UTF-8 text");
}
