//! The ten commands of the README and of `docs/mirror.md`, run as they stand there: from a list of names to an archive that
//! an offline site serves.
//!
//! Only the addresses are other ones, since those of the page may be taken: the sample registry of the demo stands at the
//! address of the page's registry, and is gone before anything crosses.

use std::fs;
use std::path::Path;
use std::process::Command;

use bibliotheca::sample;
use sha2::{Digest, Sha256};

use crate::support::shell::{Shell, commands};
use crate::support::{Client, Upstream, free_ports};

/// The archive that the last command gets.
const ARCHIVE: &str = "/archives/@acme/review-agent/2.0.0.tar.gz";

/// The one block of a page that begins with a list of roots.
fn block(page: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut walks = blocks.filter(|block| block.contains("> roots.txt"));
    let walk = walks.next().expect("the ten commands").to_owned();
    assert!(walks.next().is_none(), "{page} has two walks");
    walk
}

#[test]
fn the_ten_commands_lead_from_a_list_to_an_offline_site() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: no curl here");
        return;
    }
    let walk = block("README.md");
    assert_eq!(commands(&walk), commands(&block("docs/mirror.md")), "the pages have the same commands");
    let registry = Upstream::start();
    sample::publish(&registry).unwrap();
    let authority = registry.url().strip_prefix("http://").unwrap().to_owned();
    let ([public, admin], [near, near_admin]) = (free_ports(), free_ports());
    let mut placed = walk.replace("127.0.0.1:8080", &authority);
    for (page, port) in [(8181, public), (9191, admin), (8282, near), (9292, near_admin)] {
        let page = format!("127.0.0.1:{page}");
        assert!(placed.contains(&page), "{page}");
        placed = placed.replace(&page, &format!("127.0.0.1:{port}"));
    }
    let commands = commands(&placed);
    assert_eq!(commands.len(), 10, "{commands:#?}");
    let published = Client(authority.parse().unwrap()).get(&format!("/cdn{}", &ARCHIVE["/archives".len()..]));

    let folder = tempfile::TempDir::new().unwrap();
    let mut shell = Shell::start(folder.path());
    let crossing = commands.iter().position(|command| command.contains("there.toml")).unwrap();
    for command in &commands[..crossing] {
        shell.run(command);
    }
    registry.down();
    for command in &commands[crossing..] {
        shell.run(command);
    }
    let got = fs::read(folder.path().join("2.0.0.tar.gz")).unwrap();
    assert!(got == published.ok().body, "the bytes that the registry had");
    let served = Client(format!("127.0.0.1:{public}").parse().unwrap()).get(ARCHIVE).ok();
    assert!(served.body == got);
    let digest = data_encoding::BASE64.encode(&Sha256::digest(&got));
    assert_eq!(served.header("repr-digest"), Some(&*format!("sha-256=:{digest}:")));
    shell.end();
}
