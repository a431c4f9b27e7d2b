//! Several registries behind one proxy: each volume's writes go to its own, if that takes any.

use super::{bearer, lamp};
use crate::support::{Publisher, Publishing, Release, Setup, Upstream};

#[test]
fn a_write_goes_to_the_volumes_own_registry_and_to_no_other() {
    let (own, public) = (Publishing::start(), Upstream::start());
    let setup = Setup::before(&own)
        .set("upstream.writes", true)
        .set("upstream.volumes", vec!["@acme/*"])
        .upstream("other", &public.url());
    let proxy = setup.start();
    let publisher = Publisher::at(proxy.client());
    assert_eq!(publisher.publish(&lamp()).status, 201);
    let other = Release::new("lamp", "1.0.0");
    publisher.announce(&other).problem(403, "authorization-failed");
    publisher.withdraw(&other).problem(403, "authorization-failed");
    assert_eq!(public.writes(), 0);
    let token = bearer(Publishing::TOKEN);
    assert!(!public.seen().iter().any(|seen| seen.header("authorization") == Some(&*token)));
}

#[test]
fn a_volume_of_no_registry_has_nobody_to_write_to() {
    let own = Publishing::start();
    let proxy =
        Setup::before(&own).set("upstream.writes", true).set("upstream.volumes", vec!["@acme/*"]).start();
    Publisher::at(proxy.client()).announce(&Release::new("lamp", "1.0.0")).problem(404, "not-found");
    assert_eq!(own.seen().len(), 0);
}

#[test]
fn a_registry_that_answers_too_late_may_have_done_it() {
    let own = Publishing::start();
    let setup = Setup::before(&own).set("upstream.writes", true).set("upstream.read_timeout", "1s");
    let proxy = setup.start();
    let hold = own.hold(&lamp().exact());
    let late = Publisher::at(proxy.client()).withdraw(&lamp());
    let problem = late.problem(504, "about:blank");
    assert!(problem["detail"].as_str().unwrap().contains("may have done"), "{problem}");
    hold.release();
    assert_eq!(own.count("DELETE", &lamp().exact()), 1);
}
