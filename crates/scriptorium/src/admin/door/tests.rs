//! Tables of heads: what tools and the port's own pages send, and what pages of others can.

use http::HeaderValue;

use super::super::route::AdminAction;
use super::super::token::AdminToken;
use super::*;
use crate::domain::Sha256;

fn door(token: Option<&str>) -> Door {
    let token = token.map(|token| AdminToken {
        name: None,
        digest: Sha256::of(token.as_bytes()),
        role: AdminRole::Operate,
    });
    let tokens = AdminTokens::new(token.into_iter().collect());
    let known = ListedHost { host: "admin.corp.example".to_owned(), port: None };
    Door::new(tokens, [192, 0, 2, 9].into(), vec![known])
}

fn operator() -> AdminCaller {
    AdminCaller::Holder { name: None, role: AdminRole::Operate }
}

fn asked(
    door: &Door,
    method: &Method,
    path: &str,
    fields: &[(&'static str, &str)],
) -> Result<AdminCaller, AdminRefusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let uri: Uri = path.parse().unwrap();
    let arrival = AdminRequest { method, uri: &uri, headers: &headers, peer: None };
    door.admit(&arrival, &AdminRoute::of(uri.path()), Duration::ZERO)
}

#[test]
fn the_port_goes_by_loopback_its_own_address_and_the_names_it_was_given() {
    let door = door(None);
    let get = |host: &str| asked(&door, &Method::GET, "/metrics", &[("host", host)]);
    for host in [
        "localhost",
        "LocalHost:9090",
        "localhost.",
        "127.0.0.1:1",
        "127.8.9.10",
        "[::1]",
        "[::1]:9090",
        "[::ffff:127.0.0.1]:9090",
        "192.0.2.9:9090",
        "admin.corp.example",
        "Admin.Corp.Example.:8443",
    ] {
        assert_eq!(get(host), Ok(AdminCaller::Anybody), "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:9090",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.localhost",
        "192.0.2.10",
        "0.0.0.0:9090",
        "[::]",
        "10.0.0.1",
        "x.admin.corp.example",
        "localhost@evil.example",
        "",
        "a b",
        "\u{e9}",
    ] {
        assert_eq!(get(host), Err(AdminRefusal::Host), "{host}");
    }
    assert_eq!(asked(&door, &Method::GET, "/metrics", &[]), Err(AdminRefusal::Host));
    let two = [("host", "localhost"), ("host", "localhost")];
    assert_eq!(asked(&door, &Method::GET, "/metrics", &two), Err(AdminRefusal::Host));
    let absolute = asked(&door, &Method::GET, "http://evil.example/metrics", &[("host", "localhost")]);
    assert_eq!(absolute, Err(AdminRefusal::Host), "the target names another host than the header");
    for probe in ["/livez", "/readyz"] {
        assert_eq!(asked(&door, &Method::GET, probe, &[("host", "10.1.2.3:9090")]), Ok(AdminCaller::Anybody));
        assert_eq!(asked(&door, &Method::GET, probe, &[]), Ok(AdminCaller::Anybody));
    }
}

#[test]
fn no_page_of_another_site_acts() {
    let door = door(None);
    let act = |fields: &[(&'static str, &str)]| {
        let fields = [&[("host", "localhost:9090")], fields].concat();
        asked(&door, &Method::POST, "/admin/v1/invalidate", &fields)
    };
    let json = ("content-type", "application/json");
    for tool in [
        &[json][..],
        &[("content-type", "Application/JSON; charset=utf-8")],
        &[json, ("origin", "http://localhost:9090"), ("sec-fetch-site", "same-origin")],
        &[json, ("origin", "https://LOCALHOST:9090")],
        &[json, ("sec-fetch-site", "none")],
        &[],
        &[("content-length", "0")],
    ] {
        assert_eq!(act(tool), Ok(AdminCaller::Anybody), "{tool:?}");
    }
    for origin in [
        "null",
        "http://evil.example",
        "http://localhost",
        "http://localhost:9091",
        "http://127.0.0.1:9090",
        "http://localhost:9090.evil.example",
        "http://evil.example@localhost:9090",
        "file://localhost:9090",
        "localhost:9090",
        "",
        "\u{e9}",
    ] {
        assert_eq!(act(&[json, ("origin", origin)]), Err(AdminRefusal::Site), "{origin}");
    }
    for site in ["cross-site", "same-site", "", "none, cross-site"] {
        assert_eq!(act(&[json, ("sec-fetch-site", site)]), Err(AdminRefusal::Site), "{site}");
    }
    let mixed = [json, ("origin", "http://localhost:9090"), ("origin", "http://evil.example")];
    assert_eq!(act(&mixed), Err(AdminRefusal::Site));
    let own = ("origin", "http://localhost:9090");
    for form in [
        &[("content-type", "text/plain")][..],
        &[("content-type", "application/x-www-form-urlencoded"), ("content-length", "0")],
        &[("content-type", "multipart/form-data; boundary=application/json")],
        &[("content-type", "text/plain;application/json")],
        &[json, json],
        &[("content-type", "")],
        &[("content-length", "2")],
        &[("transfer-encoding", "chunked")],
        &[own],
    ] {
        assert_eq!(act(form), Err(AdminRefusal::Content), "{form:?}");
    }
}

#[test]
fn a_token_is_wanted_of_all_but_probes_and_said_once() {
    let door = door(Some("secret"));
    let host = ("host", "127.0.0.1:9090");
    let bearing = |value: &str| asked(&door, &Method::GET, "/metrics", &[host, ("authorization", value)]);
    assert_eq!(bearing("Bearer secret"), Ok(operator()));
    assert_eq!(bearing("bearer secret"), Ok(operator()));
    let long = format!("Bearer {}", "x".repeat(100_000));
    for wrong in ["Bearer secre", "Bearer secrets", "Bearer ", "secret", "Basic secret", "", &long] {
        assert_eq!(bearing(wrong), Err(AdminRefusal::Token), "{wrong:.20}");
    }
    assert_eq!(asked(&door, &Method::GET, "/readyz", &[]), Ok(AdminCaller::Anybody));
    assert_eq!(asked(&door, &Method::GET, "/unknown", &[host]), Err(AdminRefusal::Token));
    // Without the token nobody learns what a body would have done.
    let act = [host, ("content-type", "text/plain")];
    assert_eq!(asked(&door, &Method::POST, "/admin/v1/reload", &act), Err(AdminRefusal::Token));
    assert_eq!(asked(&door, &Method::OPTIONS, "/admin/v1/reload", &[host]), Err(AdminRefusal::Method));
    assert_eq!(AdminRoute::of("/admin/v1/reload"), AdminRoute::Act(AdminAction::Reload));
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const HOST: (&str, &str) = ("host", "localhost:9090");
const OWN: (&str, &str) = ("origin", "http://localhost:9090");

#[test]
fn a_form_has_a_forms_type_and_says_that_a_page_of_ours_sent_it() {
    let door = door(None);
    for path in ["/act/invalidate", "/act/reload", "/login", "/logout"] {
        let send =
            |fields: &[(&'static str, &str)]| asked(&door, &Method::POST, path, &[&[HOST], fields].concat());
        let site = ("sec-fetch-site", "same-origin");
        for ours in [&[FORM, OWN][..], &[FORM, site], &[FORM, OWN, site]] {
            assert_eq!(send(ours), Ok(AdminCaller::Anybody), "{path} {ours:?}");
        }
        for other in
            [&[FORM][..], &[FORM, ("sec-fetch-site", "none")], &[FORM, OWN, ("sec-fetch-site", "same-site")]]
        {
            assert_eq!(send(other), Err(AdminRefusal::Site), "{path} {other:?}");
        }
        for other in [&[OWN][..], &[OWN, ("content-type", "application/json")], &[OWN, FORM, FORM]] {
            assert_eq!(send(other), Err(AdminRefusal::Content), "{path} {other:?}");
        }
    }
}

#[test]
fn a_session_stands_for_its_token_on_pages_and_not_in_the_api() {
    let door = door(Some("secret"));
    assert!(door.tokens.open("wrong", Duration::ZERO).is_none());
    let (holder, session) = door.tokens.open("secret", Duration::ZERO).unwrap();
    assert_eq!(holder, operator());
    let cookie = session.cookie(false).unwrap();
    let cookie = ("cookie", cookie.to_str().unwrap().split_once(';').unwrap().0);
    for path in ["/", "/search", "/release/lamp/1.0.0", "/metrics"] {
        assert_eq!(asked(&door, &Method::GET, path, &[HOST, cookie]), Ok(operator()), "{path}");
        assert_eq!(asked(&door, &Method::GET, path, &[HOST]), Err(AdminRefusal::Token), "{path}");
    }
    let act = |path, fields: &[(&'static str, &str)]| {
        asked(&door, &Method::POST, path, &[&[HOST, OWN, cookie], fields].concat())
    };
    assert_eq!(act("/act/reload", &[FORM]), Ok(operator()));
    let json = ("content-type", "application/json");
    assert_eq!(act("/admin/v1/reload", &[json]), Err(AdminRefusal::Token));
    let wrong = ("authorization", "Bearer wrong");
    assert_eq!(act("/act/reload", &[FORM, wrong]), Err(AdminRefusal::Token), "what is said counts");
    for open in ["/style.css", "/icon.svg", "/login"] {
        assert_eq!(asked(&door, &Method::GET, open, &[HOST]), Ok(AdminCaller::Anybody), "{open}");
    }
    door.tokens.reload(vec![AdminToken {
        name: None,
        digest: Sha256::of(b"other"),
        role: AdminRole::Operate,
    }]);
    assert_eq!(act("/act/reload", &[FORM]), Err(AdminRefusal::Token), "its token is gone");
    door.tokens.reload(vec![AdminToken {
        name: None,
        digest: Sha256::of(b"secret"),
        role: AdminRole::Operate,
    }]);
    assert_eq!(act("/act/reload", &[FORM]), Err(AdminRefusal::Token), "the token is back, and no session");
}

#[test]
fn a_token_that_may_read_sees_and_does_not_act() {
    let token = |name: &str, role| AdminToken {
        name: Some(name.to_owned()),
        digest: Sha256::of(name.as_bytes()),
        role,
    };
    let door = door(Some("secret"));
    door.tokens.reload(vec![token("wall", AdminRole::Read), token("ops", AdminRole::Operate)]);
    let ask = |method, path, token: &str| {
        let bearer = format!("Bearer {token}");
        asked(&door, method, path, &[HOST, OWN, FORM, ("authorization", &bearer)])
    };
    assert!(ask(&Method::GET, "/", "wall").is_ok() && ask(&Method::GET, "/metrics", "wall").is_ok());
    assert_eq!(ask(&Method::POST, "/act/reload", "wall"), Err(AdminRefusal::Role));
    assert_eq!(ask(&Method::POST, "/admin/v1/reload", "wall"), Err(AdminRefusal::Role));
    assert!(ask(&Method::POST, "/logout", "wall").is_ok());
    let ops = ask(&Method::POST, "/act/reload", "ops").unwrap();
    assert_eq!((ops.to_string(), ops.role()), ("the admin token ops".to_owned(), AdminRole::Operate));
    assert_eq!(ask(&Method::GET, "/", "secret"), Err(AdminRefusal::Token));
}
