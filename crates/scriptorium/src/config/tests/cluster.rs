//! The section `[cluster]`.

use super::*;

const BUCKET: &str = "[storage]\nurl = \"s3://volumes\"\n";

#[test]
fn an_engine_is_configured_with_its_address_alone() {
    let config = load(&format!("{UPSTREAM}{BUCKET}[cluster]\nurl = \"rediss://engine:6380/1\"")).config;
    let cluster = config.cluster.unwrap();
    assert_eq!((cluster.prefix.as_str(), cluster.nodes), ("scriptorium:", 3));
    assert!(cluster.password_env.is_none());
}

#[test]
fn what_cannot_work_or_gives_a_password_away_is_refused() {
    for (given, refused) in [
        ("[storage]\nurl = \"file:///data\"\n[cluster]\nurl = \"redis://engine\"", "s3://bucket/prefix"),
        (
            "[storage]\nurl = \"s3://volumes\"\n[cluster]\nurl = \"redis://:hunter2@engine\"",
            "without a password",
        ),
        ("[storage]\nurl = \"s3://volumes\"\n[cluster]\nurl = \"redis://engine?password=hunter2\"", "query"),
        (
            "[storage]\nurl = \"s3://volumes\"\n[cluster]\nurl = \"redis://hunter2@engine\"",
            "cluster.password_env",
        ),
        ("[storage]\nurl = \"s3://volumes\"\n[cluster]\nurl = \"http://engine\"", "redis://"),
        ("[storage]\nurl = \"s3://volumes\"\n[cluster]\nurl = \"redis://engine/x\"", "redis://"),
        ("[storage]\nurl = \"s3://volumes\"\n[cluster]\nnodes = 3", "cluster.url"),
        (
            "[storage]\nurl = \"s3://volumes\"\n[cluster]\nurl = \"redis://engine\"\npassword_env = \"NO_SUCH\"",
            "cluster.password_env",
        ),
        (
            "[storage]\nurl = \"s3://volumes\"\n[cluster]\nurl = \"redis://engine\"\nnodes = 0",
            "cluster.nodes",
        ),
        (
            "[storage]\nurl = \"s3://volumes\"\n[cluster]\nurl = \"redis://engine\"\nprefix = \"a b\"",
            "cluster.prefix",
        ),
    ] {
        let told = errors(&format!("{UPSTREAM}{given}")).join("\n");
        assert!(told.contains(refused), "{given}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}
