//! The pages of the admin port in a browser: nothing is reported to its console, hostile text is text, everything fits a
//! phone, and forms work.

use crate::support::chromium::Chromium;
use crate::support::{Lie, Proxy, Release, Setup, Upstream};

const HOSTILE: &str =
    "\"'><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">";

/// A proxy about which there is much to say, none of it friendly.
fn on_fire(upstream: &Upstream) -> Proxy {
    let long = "a".repeat(120);
    let (lamp, desk) = (Release::new("@acme/lamp", "1.0.0"), Release::new("desk", "1.0.0"));
    let releases = [
        lamp.clone(),
        desk.state("yanked", &HOSTILE.repeat(3)),
        Release::new("shelf", "1.0.0").state("blocked", &long),
    ];
    for release in &releases {
        upstream.publish(release);
    }
    Lie::RowState("yanked").tell(upstream, &lamp);
    let setup = Setup::before(upstream).set("upstream.requests_per_minute", 1000);
    let proxy = setup.start();
    for release in &releases {
        for target in [release.index(), release.exact(), release.download()] {
            proxy.client().get(&target);
        }
    }
    proxy.client().get(&lamp.exact()).problem(409, "inconsistent-registry-state");
    upstream.down();
    for name in 0..8 {
        proxy.client().get(&format!("/api/v1/index/volumes/lost-{name}"));
    }
    proxy
}

#[test]
fn pages_fit_a_phone_and_hostile_text_is_text() {
    let Some(browser) = Chromium::start() else { return };
    let upstream = Upstream::start();
    let proxy = on_fire(&upstream);
    let port = proxy.admin().0;
    for (width, scheme) in [(360, "light"), (360, "dark"), (1440, "light"), (1440, "dark")] {
        browser.look(width, scheme);
        for path in [
            "/",
            "/release/desk/1.0.0",
            "/release/@acme/lamp/1.0.0",
            "/release/no/name",
            "/search?q=a",
            "/search",
        ] {
            browser.show(&format!("http://{port}{path}"));
            let overflow = browser.value("document.documentElement.scrollWidth - window.innerWidth");
            assert!(overflow.as_i64().unwrap() <= 0, "{path} at {width}: {overflow} pixels too wide");
            let foreign = browser.value("document.scripts.length + document.images.length");
            assert_eq!(foreign, 0, "{path}");
            assert_ne!(browser.value("document.title"), "owned", "{path}");
            let ground = browser.value("getComputedStyle(document.body).backgroundColor");
            assert_eq!(ground == "rgb(15, 18, 21)", scheme == "dark", "{path}: {ground}");
            let console: Vec<_> = browser
                .console()
                .into_iter()
                .filter(|line| path != "/release/no/name" || !line.to_string().contains("404"))
                .collect();
            assert!(console.is_empty(), "{path}: {console:?}");
        }
    }
    let text = "document.body.innerText";
    browser.show(&format!("http://{port}/release/desk/1.0.0"));
    assert!(
        browser.value(text).as_str().unwrap().contains("<script>document.title='owned'"),
        "the reason is shown"
    );
}

#[test]
fn a_form_that_a_browser_sends_is_ours() {
    let Some(browser) = Chromium::start() else { return };
    let upstream = Upstream::start();
    let proxy = Setup::before(&upstream).start();
    browser.show(&format!("http://{}/", proxy.admin().0));
    browser.value("document.querySelector('form[action=\"/act/reload\"]').submit()");
    let said = crate::support::eventually("the page after the form", || {
        let said = browser.value("document.querySelector('.said')?.innerText ?? ''");
        said.as_str().filter(|said| !said.is_empty()).map(str::to_owned)
    });
    assert_eq!(said, "The configuration was read again: applied 0, after a restart 0.");
    assert!(browser.console().is_empty());
}
