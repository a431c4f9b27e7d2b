//! Valid manifests, invalid manifests and escalations.

use super::*;

fn check(manifest: &str) -> Result<(), ArchiveError> {
    let (name, version) = ("@acme/review".parse().unwrap(), "1.2.3".parse().unwrap());
    VolumeManifest::parse(manifest.as_bytes())?.check(&name, &version)
}

fn with(rest: &str) -> String {
    format!("[volume]\nschema = 1\nname = \"@acme/review\"\nversion = \"1.2.3\"\nlicense = \"MIT\"\n{rest}")
}

fn before(volume: &str) -> String {
    format!("{volume}\nvolume = {{ name = '@acme/review', version = '1.2.3' }}")
}

#[test]
fn a_manifest_needs_only_the_identity() {
    check(&before("")).unwrap();
    check(&with("role = 7\n[publisher]\nid = 'x'\n[dependencies]\nx = '^1'\n[permissions]\ngpu = 'all'"))
        .unwrap();
}

#[test]
fn another_identity_is_refused_and_named() {
    for (name, version, found) in [
        ("review", "1.2.3", "pkg:volume/review@1.2.3"),
        ("@acme/review", "1.2.4", "pkg:volume/%40acme/review@1.2.4"),
        ("@acme/review", "1.2.3+b", "pkg:volume/%40acme/review@1.2.3%2Bb"),
    ] {
        let refused = check(&format!("[volume]\nname = '{name}'\nversion = '{version}'"));
        let Err(ArchiveError::Identity { expected, found: actual }) = refused else {
            panic!("{name} {version} passed as {refused:?}");
        };
        assert_eq!(
            (expected.to_string().as_str(), actual.to_string().as_str()),
            ("pkg:volume/%40acme/review@1.2.3", found)
        );
    }
}

#[test]
fn refuses_what_cannot_be_read() {
    for invalid in [
        "",
        "[volume",
        "volume = 1",
        "[volume]\nname = 'a'",
        "[volume]\nversion = '1.0.0'",
        "[volume]\nname = 'A'\nversion = '1.0.0'",
        "[volume]\nname = 'a'\nversion = '1'",
        &with("[permissions]\nshell = 'read'"),
        &with("[permissions]\nnetwork = 'allow'"),
        &with("[permissions]\nbrowser = true"),
        &with("[[components]]\npermissions.filesystem = 'rw'"),
        &before("components = 'none'"),
        &before("permissions = []"),
        &before("components = [['a']]"),
        "volume = [1, 'a', '1.0.0']",
        &before("permissions = 1979-05-27"),
        &before("permissions.network = { read = {} }"),
        &before("components = [{permissions=['read']}]"),
        &before("components = {}"),
        &with("").replace("= 1\n", "= 2\n"),
        &with("x = 1\nx = 2"),
        &with(&format!("x = {}", "[".repeat(100_000))),
    ] {
        let refused = check(invalid);
        assert!(
            matches!(refused, Err(ArchiveError::Manifest(ManifestError::Invalid(_)))),
            "{invalid:.80}: {refused:?}"
        );
    }
    assert!(matches!(VolumeManifest::parse(b"\xff"), Err(ManifestError::Invalid(_))));
}

#[test]
fn a_component_stays_within_its_volume() {
    let levels = ["deny", "read", "write", "read-write"];
    let within = [("deny", "deny"), ("read", "read"), ("write", "write")];
    for kind in ["filesystem", "network", "browser"] {
        for component in levels {
            for volume in levels {
                let allowed =
                    component == "deny" || volume == "read-write" || within.contains(&(component, volume));
                escalates(kind, component, volume, !allowed);
            }
        }
        escalates(kind, "read", "", true);
        escalates(kind, "", "read", false);
    }
    for (component, volume, beyond) in [
        ("deny", "deny", false),
        ("allow", "deny", true),
        ("allow", "allow", false),
        ("deny", "allow", false),
        ("allow", "", true),
    ] {
        escalates("shell", component, volume, beyond);
    }
}

fn escalates(kind: &str, component: &str, volume: &str, expected: bool) {
    let line = |level: &str| if level.is_empty() { String::new() } else { format!("{kind} = '{level}'\n") };
    let manifest = with(&format!(
        "[permissions]\n{}[[components]]\nname = 'tame'\n[[components]]\nname = 'wild'\n[components.permissions]\n{}",
        line(volume),
        line(component),
    ));
    match check(&manifest) {
        Ok(()) => assert!(!expected, "{manifest}"),
        Err(ArchiveError::Escalation { component, permission }) => {
            assert!(expected, "{manifest}");
            assert_eq!((component.to_string().as_str(), permission.to_string().as_str()), ("wild", kind));
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_component_without_a_name_is_named_by_its_position() {
    let refused = check(&with("[[components]]\n[[components]]\npermissions.shell = 'allow'"));
    let text = refused.unwrap_err().to_string();
    assert_eq!(text, "component `#2` declares more `shell` permission than its volume permits");
}

fn facts(manifest: &str) -> ManifestFacts {
    VolumeManifest::parse(manifest.as_bytes()).unwrap().facts()
}

#[test]
fn facts_are_what_the_manifest_says() {
    let rest = "[publisher]\nid = 'acme'\n[permissions]\nshell = 'allow'\nnetwork = 'read'\n\
                [[components]]\ntype = 'tool'\n[[components]]\ntype = 'agent'\n[[components]]\ntype = 'tool'";
    let permissions = DeclaredPermissions {
        shell: ShellAccess::Allow,
        network: AccessLevel::Read,
        ..DeclaredPermissions::default()
    };
    let expected = ManifestFacts {
        licence: Some("MIT".to_owned()),
        publisher: Some("acme".to_owned()),
        component_types: vec!["agent".to_owned(), "tool".to_owned()],
        permissions,
    };
    let found = facts(&with(rest));
    assert_eq!(found, expected);
    let stored = toml::to_string(&found).unwrap();
    assert_eq!(toml::from_str::<ManifestFacts>(&stored).unwrap(), found, "{stored}");
}

#[test]
fn a_fact_of_another_form_is_none_and_refuses_nothing() {
    for odd in [
        "publisher = 7\n",
        "publisher.id = ['acme']\n",
        "components = [{type = 7}, {type = {}}]\n",
        &format!("publisher.id = '{}'\n", "x".repeat(MAX_TEXT + 1)),
    ] {
        assert_eq!(facts(&before(odd)), ManifestFacts::default(), "{odd:.60}");
        check(&before(odd)).unwrap();
    }
    let many: String = (0..200).map(|at| format!("[[components]]\ntype = 'kind-{at:03}'\n")).collect();
    let kept = facts(&with(&(many + "[[components]]\ntype = 'mcp-server'\n"))).component_types;
    assert!(kept.len() == MAX_TYPES + 1 && kept.contains(&"mcp-server".to_owned()), "none hides a known one");
}
