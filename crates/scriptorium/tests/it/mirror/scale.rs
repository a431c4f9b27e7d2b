//! A large mirror: a release costs little memory, and what did not change costs conditional requests.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::mirror::{asked, list, mirror, missing};
use crate::support::{Proxy, Release, Setup, Upstream, setting};

/// Volumes of the mirror; `SCRIPTORIUM_MIRROR_VOLUMES` sets another number, such as 5000.
const VOLUMES: usize = 80;
/// Releases of each.
const RELEASES: usize = 10;
/// What a mirror may cost the proxy in memory, whatever its size, and what for each release. 50,000 releases stay below 200 MB.
const FIXED: u64 = 40 << 20;
const EACH: u64 = 2_560;
/// No page of the dashboard is longer, however much is held.
const LONGEST_PAGE: usize = 200 << 10;

/// A registry whose search lists so many volumes.
fn large(volumes: usize) -> Upstream {
    let upstream = Upstream::start();
    let names: Vec<String> = (0..volumes).map(|number| format!("@acme/v{number}")).collect();
    for (number, name) in names.iter().enumerate() {
        for release in 0..RELEASES {
            let mut release = Release::new(name, &format!("1.{release}.0"));
            if number > 0 {
                let before = json!({ names[number / 2].as_str(): "^1.0.0" });
                release.row_members.insert("dependencies".to_owned(), before);
            }
            upstream.publish(&release);
        }
    }
    list(&upstream, &names.iter().map(String::as_str).collect::<Vec<_>>());
    upstream
}

/// Runs a mirror command beside the proxy and says what it took.
fn run(proxy: &Proxy, command: &str) -> Value {
    let began = Instant::now();
    let (code, said) = mirror(&proxy.config(), &[command, "ci"]);
    let (took, peak) = (began.elapsed(), proxy.peak_memory() >> 20);
    eprintln!("{command}: {took:.1?}, {} requests, at most {peak} MiB of memory so far", said["requests"]);
    assert_eq!((code, missing(&said).len()), (0, 0), "{command}");
    said
}

#[test]
fn memory_is_a_little_for_each_release_and_what_did_not_change_is_not_fetched() {
    let volumes = setting("SCRIPTORIUM_MIRROR_VOLUMES", VOLUMES);
    let (upstream, releases) = (large(volumes), volumes * RELEASES);
    let roots = "roots = [\"@acme/*\"]\nversions = \"all\"\ntrust = false";
    // What its registry does not have is asked about again, however quickly this machine syncs.
    let proxy = Setup::before(&upstream).set("cache.negative_ttl", "0s").mirror("ci", roots).start();
    let idle = proxy.memory();
    let plan = run(&proxy, "plan");
    assert_eq!((&plan["volumes"], &plan["releases"]), (&json!(volumes), &json!(releases)));
    assert_eq!(asked(&upstream).2, 0);
    let sync = run(&proxy, "sync");
    assert_eq!(sync["fetched"]["archives"], releases);
    let documents = volumes + releases + volumes.div_ceil(100);
    asked(&upstream);

    let again = run(&proxy, "sync");
    let (conditional, unconditional, archives) = asked(&upstream);
    assert_eq!((unconditional, archives), (0, 0));
    // Capabilities and a list of advisories, of which there are none. An index that is old by the time its releases are
    // compared with it is asked for once more.
    let documents = documents + 2;
    assert!((documents..=documents + volumes).contains(&conditional), "{conditional} of {documents}");
    assert_eq!(again["fetched"], json!({ "documents": 0, "archives": 0, "bytes": 0 }));
    assert_eq!(again["bytes"], sync["bytes"]);
    run(&proxy, "plan");
    assert_eq!(run(&proxy, "verify")["releases"], releases);
    for page in ["/", "/search?q=v1", "/release/@acme/v7/1.9.0"] {
        let began = Instant::now();
        let shown = proxy.admin().get(page).ok().body.len();
        eprintln!("{page}: {:.1?}, {shown} bytes", began.elapsed());
        assert!(shown < LONGEST_PAGE, "{page} has {shown} bytes");
    }
    // What is shown of a part is looked up, although the walk of the store ended at the pins.
    let found = proxy.admin().get("/search?q=v").ok().text();
    let cells = |of: &str| found.matches(&format!("<td>{of}</td>")).count();
    assert!(found.contains("The list is cut"), "{found}");
    assert_eq!((cells("available"), cells("here"), cells("–")), (300, 300, 0), "{found}");
    let (peak, allowed) = (proxy.peak_memory(), idle + FIXED + EACH * releases as u64);
    assert!(peak < allowed, "{} MiB, and {} are allowed", peak >> 20, allowed >> 20);
}
