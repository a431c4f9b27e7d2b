//! Tokens of the admin port with names and roles, and the sessions that browsers open with them.

use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::support::{Answer, Proxy, Setup, Upstream};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Tokens, each with its role; a token is the name of its holder.
fn with_tokens(setup: Setup, tokens: &[(&str, &str)]) -> Setup {
    let token = |(name, role): &(&str, &str)| {
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(name));
        let keys = [("name", (*name).to_owned()), ("sha256", sha256), ("role", (*role).to_owned())];
        Value::Table(Table::from_iter(keys.map(|(key, value)| (key.to_owned(), value.into()))))
    };
    setup.set("server.admin_tokens", tokens.iter().map(token).collect::<Vec<_>>())
}

fn send(proxy: &Proxy, target: &str, cookie: &str, form: &str) -> Answer {
    let own = format!("http://{}", proxy.admin().0);
    let fields = [FORM, ("origin", own.as_str()), ("cookie", cookie)];
    proxy.admin().send_body("POST", target, &fields, form.as_bytes())
}

/// The cookie that a browser gets for a token.
#[track_caller]
fn logged_in(proxy: &Proxy, token: &str) -> String {
    let answer = send(proxy, "/login", "", &format!("token={token}"));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{}", answer.text());
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

fn sees(proxy: &Proxy, cookie: &str) -> Answer {
    proxy.admin().get_with("/", "cookie", cookie)
}

#[test]
fn a_browser_gives_the_token_once_and_a_reader_does_not_act() {
    let upstream = Upstream::start();
    let folder = tempfile::TempDir::new().unwrap();
    let record = folder.path().join("audit.jsonl");
    let setup = Setup::before(&upstream).set("log.audit", record.to_str().unwrap());
    let mut proxy = with_tokens(setup, &[("ops-token", "operate"), ("wall-token", "read")]).start();

    let strange = proxy.admin().get("/");
    assert_eq!((strange.status, strange.header("www-authenticate")), (401, Some("Bearer")));
    assert!(
        strange.text().contains(r#"action="/login""#) && !strange.text().contains("Upstreams"),
        "{}",
        strange.text()
    );
    proxy.admin().get("/style.css").ok();
    let unknown = proxy.admin().get("/metrics");
    unknown.problem(401, "authentication-required");
    assert_eq!(unknown.header("www-authenticate"), Some("Bearer"));
    let wrong = send(&proxy, "/login", "", "token=guess");
    assert!(wrong.status == 401 && wrong.header("set-cookie").is_none(), "{}", wrong.text());
    assert!(wrong.text().contains("That is no token of this port."), "{}", wrong.text());

    let (ops, wall) = (logged_in(&proxy, "ops-token"), logged_in(&proxy, "wall-token"));
    let page = sees(&proxy, &ops).ok().text();
    assert!(page.contains("the admin token ops-token") && page.contains(r#"action="/act/reload""#), "{page}");
    assert_eq!(send(&proxy, "/act/reload", &ops, "").status, 303);
    let page = sees(&proxy, &wall).ok().text();
    assert!(page.contains("read only") && !page.contains("/act/"), "{page}");
    let refused = send(&proxy, "/act/reload", &wall, "");
    assert!(refused.status == 403 && refused.text().contains("may only read"), "{}", refused.text());
    let bearer = [("authorization", "Bearer wall-token"), ("content-type", "application/json")];
    proxy.admin().send("POST", "/admin/v1/reload", &bearer).problem(403, "authorization-failed");
    let metrics = proxy.admin().get_with("/metrics", "cookie", &wall).ok().text();
    for line in [
        r#"scriptorium_admin_refused_total{why="token"} 2"#,
        r#"scriptorium_admin_refused_total{why="role"} 2"#,
    ] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }

    let again = send(&proxy, "/login", &ops, "token=ops-token");
    assert_eq!((again.status, sees(&proxy, &ops).status), (303, 401), "a new session ends the one before");
    let ops = again.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    sees(&proxy, &ops).ok();
    assert_eq!(send(&proxy, "/logout", &ops, "").status, 303);
    assert_eq!(sees(&proxy, &ops).status, 401, "the session is over");
    proxy.reconfigure(|setup| with_tokens(setup, &[("ops-token", "operate")]));
    let bearer = [("authorization", "Bearer ops-token"), ("content-type", "application/json")];
    proxy.admin().send("POST", "/admin/v1/reload", &bearer).ok();
    assert_eq!(sees(&proxy, &wall).status, 401, "a session ends with its token");

    let record = std::fs::read_to_string(&record).unwrap();
    for (who, what) in [("ops-token", "login"), ("wall-token", "login"), ("ops-token", "reload")] {
        let line =
            record.lines().find(|line| line.contains(who) && line.contains(&format!(r#""what":"{what}""#)));
        assert!(
            line.unwrap_or_default().contains(&format!(r#""who":"admin-token:{who}""#)),
            "{what} in {record}"
        );
    }
    let log = proxy.whole_log();
    for secret in [&ops, &wall].map(|cookie| cookie.split('=').nth(1).unwrap()).into_iter().chain(["guess"]) {
        assert!(!log.contains(secret) && !record.contains(secret), "a secret was written down");
    }
}
