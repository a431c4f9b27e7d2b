//! Tokens, issuers and readers: what is refused, and what can never match.

use super::*;

const REGISTRY: &str = "[[upstreams]]\nname = \"public\"\nurl = \"https://registry.example.com\"\n";
const ISSUER: &str = "[[issuers]]\nname = \"ci\"\nissuer = \"https://i\"\naudience = \"a\"\nclass = \"ci\"\n";

fn notes(more: &str) -> Vec<String> {
    load(&format!("{REGISTRY}{more}")).notes
}

#[test]
fn readers_are_a_word_or_a_list() {
    let readers =
        |text: &str| load(&format!("{REGISTRY}readers = {text}\n")).config.upstreams[0].readers.clone();
    assert_eq!(readers("\"anyone\""), Readers::Anyone);
    assert_eq!(readers("\"tokens\""), Readers::Tokens);
    assert_eq!(readers("[]"), Readers::Listed(Vec::new()));
    let listed = vec![ListedReader::Name("ci".into()), ListedReader::Group("release".into())];
    assert_eq!(readers("[\"ci\", \"group:release\"]"), Readers::Listed(listed));
    for bad in ["\"everybody\"", "7", "[\"a b\"]", "[\"group:\"]", "{}", "true"] {
        let errors = super::errors(&format!("{REGISTRY}readers = {bad}\n"));
        assert!(errors.iter().all(|error| error.contains("upstreams[0].readers")), "{bad}: {errors:?}");
    }
}

#[test]
fn readers_that_no_token_can_be_are_told() {
    assert_eq!(notes("readers = \"anyone\"\n"), Vec::<String>::new());
    assert_eq!(
        notes("readers = \"tokens\"\n"),
        ["upstreams[0].readers lets nobody read: there is neither a token nor an issuer"]
    );
    assert_eq!(notes("readers = []\n"), ["upstreams[0].readers lets nobody read: the list is empty"]);
    let token = "[[tokens]]\nname = \"main\"\nclass = \"ci\"\ngroups = [\"builds\"]\nsha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"\n";
    let issuer = format!("{ISSUER}jwks_url = \"https://i/keys\"\ngroups = [\"jobs\"]\n");
    assert_eq!(
        notes(&format!(
            "readers = [\"main\", \"mian\", \"ci\", \"group:builds\", \"group:jobs\", \"group:main\"]\n{token}{issuer}"
        )),
        [
            "upstreams[0].readers[1] (mian) lets nobody read: no token and no issuer has this name",
            "upstreams[0].readers[5] (group:main) lets nobody read: no token and no issuer is in this group",
        ]
    );
}

#[test]
fn a_day_needs_no_quotes() {
    let token = format!("[[tokens]]\nname = \"t\"\nclass = \"ci\"\nsha256 = \"{}\"\n", "ab".repeat(32));
    let ending = |day: &str| load(&format!("{REGISTRY}{token}expires = {day}\n")).config.tokens[0].expires;
    assert_eq!(ending("2027-01-31"), ending("\"2027-01-31\""));
    let errors = super::errors(&format!("{REGISTRY}{token}expires = 2027-01-31T00:00:00Z\n"));
    assert!(errors[0].contains("tokens[0].expires: expected a day"), "{errors:?}");
}

#[test]
fn a_token_past_its_last_day_is_told() {
    let mut config = full();
    let end = config.tokens[0].expires.unwrap().end();
    assert_eq!(config.expired_tokens(end - 1), Vec::<String>::new());
    assert_eq!(
        config.expired_tokens(end),
        ["tokens[0] (ci) counts as no token: its last day was 2027-01-31"]
    );
    config.tokens[0].expires = None;
    assert_eq!(config.expired_tokens(u64::MAX), Vec::<String>::new());
}

#[test]
fn an_issuer_has_one_safe_source_of_keys_and_a_name_of_its_own() {
    let file = testdata("jwks.json").display().to_string();
    for (more, key) in [
        ("".to_owned(), "issuers[0].jwks_file: missing"),
        ("jwks_url = \"http://i/keys\"\n".to_owned(), "issuers[0].jwks_url: expected an https:// URL"),
        ("jwks_url = \"https://u:p@i/keys\"\n".to_owned(), "issuers[0].jwks_url"),
        ("jwks_url = \"http://169.254.169.254/keys\"\n".to_owned(), "issuers[0].jwks_url"),
        ("jwks_url = \"https://169.254.169.254/keys\"\n".to_owned(), "issuers[0].jwks_url"),
        (
            "jwks_file = \"/nowhere/jwks.json\"\n".to_owned(),
            "issuers[0].jwks_file: expected the path of a file with public keys (JWKS); /nowhere/jwks.json: ",
        ),
        (format!("jwks_file = \"{file}\"\nclaims = [\"x\"]\n"), "issuers[0].claims: expected a table"),
        (format!("jwks_file = \"{file}\"\nclaims = {{ a = 7 }}\n"), "issuers[0].claims.a: expected a text"),
    ] {
        let errors = super::errors(&format!("{REGISTRY}{ISSUER}{more}"));
        assert!(errors.len() == 1 && errors[0].contains(key), "{more}: {errors:?}");
    }
    for good in ["https://i/keys?x=y", "http://127.0.0.1:1/keys", "http://localhost/keys", "http://[::1]/k"] {
        load(&format!("{REGISTRY}{ISSUER}jwks_url = \"{good}\"\n"));
    }
    let token = "[[tokens]]\nname = \"ci\"\nclass = \"ci\"\nsha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"\n";
    let errors = super::errors(&format!("{REGISTRY}{token}{ISSUER}jwks_url = \"https://i/keys\"\n"));
    assert!(
        errors.len() == 1 && errors[0].contains("issuers[0].name: expected a name of its own"),
        "{errors:?}"
    );
}
