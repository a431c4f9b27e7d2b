//! Any configuration file: it is refused with messages, or its printed form reads back as the same configuration.

use std::fs;
use std::path::Path;

use scriptorium::facade::LoadedConfig;

pub(crate) const WORDS: &[&[u8]] = &[
    b"[server]\n",
    b"[[upstreams]]\n",
    b"[cache]\n",
    b"[limits]\n",
    b"[storage]\n",
    b"url = \"http://127.0.0.1\"\n",
    b"listen = ",
    b"\"127.0.0.1:0\"",
    b"\"1s\"",
    b"\"64MiB\"",
    b"\"60/min\"",
    b"\"s3://b/p\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"=",
    b"\n",
    b"\"",
    b"'''",
    b"1e400",
    b"-1",
    b"nan",
    b"true",
    b"2026-01-01T00:00:00Z",
    b"\xff",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let shown = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/scriptorium.toml"));
    let few = b"[[upstreams]]\nname = \"public\"\nurl = \"https://registry.example.com\"\n[cache]\nindex_ttl = \"10s\"\n";
    vec![few.to_vec(), shown.unwrap_or_else(|_| few.to_vec())]
}

pub(crate) fn fuzz(data: &[u8]) -> bool {
    match LoadedConfig::parse(data) {
        Ok(loaded) => {
            let printed = loaded.print();
            match LoadedConfig::parse(printed.as_bytes()) {
                Ok(again) => assert_eq!(again, loaded, "{printed}"),
                // A secret is not printed, so that it cannot be read back.
                Err(_) => assert!(printed.contains("<redacted>"), "{printed}"),
            }
            true
        }
        Err(messages) => {
            assert!(!messages.is_empty());
            assert!(messages.iter().all(|message| !message.is_empty()));
            false
        }
    }
}
