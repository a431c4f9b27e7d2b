//! A disk that is full: what is held is served, metadata flows, and all is well by itself when there is room again.
//! Needs the right to mount a small file system; without it nothing is tested, and that is said.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tarball::Entry;
use crate::support::{Proxy, Release, Setup, Upstream, eventually, noise};

const SIZE: usize = 1 << 20;

fn release(name: &str) -> Release {
    Release::new(name, "1.0.0").adding(Entry::file("data.bin", noise(name.len() as u64, SIZE)))
}

/// A file system of a few megabytes at a folder.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Leaves no room for a byte more.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        while ballast.write_all(&[1; 4096]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

fn pins(proxy: &Proxy) -> usize {
    let folders = fs::read_dir(proxy.data().join("pins")).into_iter().flatten();
    let mut folders: Vec<_> = folders.map(|entry| entry.unwrap().path()).collect();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { files += 1 }
        }
    }
    files
}

#[test]
fn a_full_disk_stops_nothing_that_needs_none_and_clears_by_itself() {
    let (upstream, held, cold) = (Upstream::start(), release("held"), release("colder"));
    upstream.publish(&held);
    upstream.publish(&cold);
    let mut proxy = Setup::before(&upstream).start();
    proxy.stop();
    let Some(disk) = Small::mount(&proxy.data()) else {
        return eprintln!("skipped: this user may not mount a file system");
    };
    proxy.revive();
    assert_eq!(proxy.client().get(&held.download()).ok().body, held.archive());
    disk.fill();

    for _ in 0..3 {
        assert_eq!(proxy.client().get(&held.download()).ok().body, held.archive());
        proxy.client().get(&cold.index()).ok();
        assert_eq!(proxy.client().get(&cold.exact()).ok().json()["integrity"], cold.integrity());
        let answer = proxy.client().get(&cold.download());
        match answer.status {
            200 => assert_eq!(answer.ok().body, cold.archive()),
            _ => drop(answer.problem(507, "about:blank")),
        }
        let ready = proxy.admin().get("/readyz").ok().json();
        assert_eq!(ready["storage"]["state"], "full", "{ready}");
    }
    assert_eq!(pins(&proxy), 1, "there was room for a pin");

    disk.free();
    assert_eq!(proxy.client().get(&cold.download()).ok().body, cold.archive());
    eventually("a storage that is well again", || {
        (proxy.admin().get("/readyz").ok().json()["storage"]["state"] == "ok").then_some(())
    });
    assert_eq!(pins(&proxy), 2, "what could not be pinned is pinned by its next reader");
    eventually("nothing staged", || proxy.files("staging").is_empty().then_some(()));
    upstream.down();
    assert_eq!(proxy.client().get(&cold.download()).ok().body, cold.archive(), "it was not kept");
}
