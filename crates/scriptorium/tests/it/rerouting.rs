//! Whose answer it is: what one registry said is not given for another's, whatever is routed where meanwhile.

use serde_json::json;

use crate::support::divergence::replaced;
use crate::support::{Proxy, Release, Reply, Setup, Upstream};

const NAME: &str = "@corp/x";

/// Everything of a release that a client may ask for.
fn all_of(release: &Release) -> [String; 3] {
    [release.index(), release.exact(), release.download()]
}

/// Routes `@corp/*` to `internal`, before `public` for the rest.
fn routed(public: &Upstream, internal: &Upstream) -> Setup {
    let setup =
        Setup::before(internal).set("upstream.name", "internal").set("upstream.volumes", vec!["@corp/*"]);
    setup.upstream("public", &public.url()).set("upstream.retries", 0)
}

/// A public registry that squats on an internal name, the internal one with the genuine release, and a proxy that has
/// cached the squatter's.
fn squatted() -> (Upstream, Upstream, Release, Release, Proxy) {
    let (public, internal) = (Upstream::start(), Upstream::start());
    let squatter = Release::new(NAME, "1.0.0");
    let genuine = replaced(&squatter);
    public.publish(&squatter);
    let proxy = Setup::before(&public).start();
    for target in all_of(&squatter) {
        proxy.client().get(&target).ok();
    }
    (public, internal, squatter, genuine, proxy)
}

fn reroute(proxy: &Proxy, setup: Setup) {
    proxy.reconfigure(|_| setup);
    proxy.reload().ok();
}

#[track_caller]
fn nothing_is_served(proxy: &Proxy, release: &Release, statuses: &[u16]) {
    for target in all_of(release) {
        let answer = proxy.client().get(&target);
        assert!(statuses.contains(&answer.status), "{target}: {answer:?}");
        assert!(!answer.text().contains(&release.integrity()), "{target}: {answer:?}");
    }
}

#[test]
fn nothing_of_the_registry_a_name_was_routed_to_before_is_served() {
    let (public, internal, squatter, genuine, mut proxy) = squatted();
    let asked = public.connections();
    reroute(&proxy, routed(&public, &internal));
    internal.otherwise(Reply::failure(503));
    nothing_is_served(&proxy, &squatter, &[502, 503]);
    proxy.invalidate(&json!({"volume": NAME})).ok();
    nothing_is_served(&proxy, &squatter, &[502, 503]);
    internal.down();
    proxy.restart_as(|_| routed(&public, &internal));
    nothing_is_served(&proxy, &squatter, &[502, 503]);
    proxy.restart_as(|_| routed(&public, &internal).set("cache.offline", true));
    nothing_is_served(&proxy, &squatter, &[504]);

    internal.up();
    internal.otherwise(Reply::not_found());
    proxy.restart_as(|_| routed(&public, &internal));
    nothing_is_served(&proxy, &squatter, &[404]);
    internal.publish(&genuine);
    proxy.invalidate(&json!({"volume": NAME})).ok();
    for target in [genuine.index(), genuine.exact()] {
        assert!(proxy.client().get(&target).ok().text().contains(&genuine.integrity()), "{target}");
    }
    assert_eq!(proxy.client().get(&genuine.download()).ok().body, genuine.archive());
    assert_eq!(public.connections(), asked, "nobody asks whom the name is not routed to");

    // It is pinned for the registry it is of, and neither pin is the other's.
    internal.publish(&squatter);
    proxy.invalidate(&json!({"volume": NAME})).ok();
    proxy.client().get(&genuine.exact()).problem(409, "inconsistent-registry-state");
}

#[test]
fn what_was_cached_counts_again_when_the_route_comes_back() {
    let (public, internal, squatter, genuine, mut proxy) = squatted();
    internal.publish(&genuine);
    reroute(&proxy, routed(&public, &internal));
    for target in all_of(&genuine) {
        proxy.client().get(&target).ok();
    }
    let (asked, asked_there) = (public.connections(), internal.connections());
    for restarts in [false, true] {
        reroute(&proxy, Setup::before(&public));
        if restarts {
            proxy.restart();
        }
        for target in [squatter.index(), squatter.exact()] {
            let answer = proxy.client().get(&target).ok();
            assert!(answer.is_hit() && answer.text().contains(&squatter.integrity()), "{target}: {answer:?}");
        }
        assert_eq!(proxy.client().get(&squatter.download()).ok().body, squatter.archive());
        reroute(&proxy, routed(&public, &internal));
        assert!(proxy.client().get(&genuine.exact()).ok().is_hit());
        assert_eq!(proxy.client().get(&genuine.download()).ok().body, genuine.archive());
    }
    assert_eq!((public.connections(), internal.connections()), (asked, asked_there));
}

#[test]
fn a_registry_at_a_new_url_is_another_and_gets_no_old_tags() {
    let (before, after) = (Upstream::start(), Upstream::start());
    let release = Release::new(NAME, "1.0.0");
    let tagged = |upstream: &Upstream| {
        upstream.publish(&release);
        let row = release.row(&upstream.url());
        upstream.reply(&release.index(), Reply::json(&json!({ "items": [row] })).with("etag", "\"one\""));
    };
    tagged(&before);
    tagged(&after);
    let proxy = Setup::before(&before).short_lived().start();
    proxy.client().get(&release.index()).ok();
    reroute(&proxy, Setup::before(&after).short_lived());
    let answer = proxy.client().get(&release.index()).ok();
    assert!(answer.cache().contains("fwd=uri-miss"), "{}", answer.cache());
    let asked = after.asked("GET", &release.index());
    assert!(!asked.is_empty() && asked.iter().all(|seen| seen.header("if-none-match").is_none()));
}

#[test]
fn a_registry_that_left_the_configuration_is_served_no_more() {
    let (public, other, release) = (Upstream::start(), Upstream::start(), Release::new(NAME, "1.0.0"));
    public.publish(&release);
    let mut proxy = Setup::before(&public).start();
    for target in all_of(&release) {
        proxy.client().get(&target).ok();
    }
    let without =
        || Setup::before(&other).set("upstream.name", "other").set("upstream.volumes", vec!["@other/*"]);
    reroute(&proxy, without());
    nothing_is_served(&proxy, &release, &[404]);
    proxy.restart_as(|_| without());
    nothing_is_served(&proxy, &release, &[404]);
}

#[test]
fn a_fetch_that_began_before_a_reload_is_no_answer_after_it() {
    let (public, internal) = (Upstream::start(), Upstream::start());
    let squatter = Release::new(NAME, "1.0.0");
    let genuine = replaced(&squatter);
    public.publish(&squatter);
    internal.publish(&genuine);
    let proxy = Setup::before(&public).start();
    let held = public.hold(&squatter.exact());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| proxy.client().get(&squatter.exact()).ok());
        crate::support::eventually("the question", || (public.requests(&squatter.exact()) > 0).then_some(()));
        reroute(&proxy, routed(&public, &internal));
        let answer = proxy.client().get(&genuine.exact()).ok();
        assert!(answer.text().contains(&genuine.integrity()), "it does not wait for another's answer");
        held.release();
        assert!(waiting.join().unwrap().text().contains(&genuine.integrity()));
    });
    let answer = proxy.client().get(&genuine.exact()).ok();
    assert!(answer.is_hit() && answer.text().contains(&genuine.integrity()));
}

#[test]
fn a_divergence_is_its_registrys_and_explain_tells_of_anothers_pin() {
    let (public, internal, squatter, genuine, proxy) = squatted();
    public.publish(&genuine);
    proxy.invalidate(&json!({"volume": NAME})).ok();
    proxy.client().get(&squatter.exact()).problem(409, "inconsistent-registry-state");
    assert_eq!(proxy.divergences().len(), 1);
    internal.publish(&genuine);
    reroute(&proxy, routed(&public, &internal));
    assert_eq!(proxy.divergences().len(), 0);
    proxy.client().get(&genuine.exact()).ok();
    let explained = proxy.explain(NAME, "1.0.0");
    assert_eq!(explained["pin"]["integrity"], genuine.integrity());
    assert_eq!(explained["pin"]["upstream"], "internal");
    let others = explained["other_pins"].as_array().unwrap();
    assert_eq!((others.len(), &others[0]["integrity"]), (1, &json!(squatter.integrity())));
    assert_eq!(others[0]["origin"], public.url().trim_end_matches('/'));
    reroute(&proxy, Setup::before(&public));
    assert_eq!(proxy.divergences().len(), 1, "it counts again");
}
