//! Sizes and durations that are valid and probably not meant.

use super::*;

#[test]
fn a_number_without_its_unit_says_what_was_understood() {
    let notes = |text: &str| load(&format!("{UPSTREAM}{text}")).notes;
    for (text, told) in [
        ("[storage]\nmax_size = 50", "storage.max_size is 50 bytes; did you mean \"50GiB\"?"),
        ("[storage]\nmax_size = \"50\"", "storage.max_size is 50 bytes; did you mean \"50GiB\"?"),
        ("[cache]\nmemory = 256", "cache.memory is 256 bytes; did you mean \"256MiB\"?"),
        (
            "[cache]\nmemory = \"50KiB\"",
            "cache.memory is 50KiB, which is next to nothing; the usual unit is MiB",
        ),
        ("[limits]\nmax_document = 32", "limits.max_document is 32 bytes; did you mean \"32MiB\"?"),
        ("[consistency]\naudit_rate = 8", "consistency.audit_rate is 8 bytes; did you mean \"8MiB\"?"),
        (
            "[cache]\nindex_ttl = \"5M\"",
            "cache.index_ttl is 5 months of 30.44 days; did you mean \"5m\", which is minutes?",
        ),
        (
            "[limits]\nsend_timeout = \"60ms\"",
            "limits.send_timeout is 60 milliseconds; did you mean \"60s\"?",
        ),
    ] {
        assert_eq!(notes(text), [told], "{text}");
    }
    for text in [
        "[storage]\nmax_size = 1073741824",
        "[storage]\nmax_size = \"1MiB\"",
        "[limits]\nmax_document = 4096",
        "[consistency]\naudit_rate = \"0B\"",
        "[cache]\nindex_ttl = \"0s\"\nstale_if_error = \"365d\"",
        "[limits]\nsend_timeout = \"100ms\"",
    ] {
        assert_eq!(notes(text), [""; 0], "{text}");
    }
}

#[test]
fn a_command_takes_no_size_without_a_unit() {
    assert_eq!(parse_size("10GiB"), Ok(10 << 30));
    assert_eq!(parse_size("1B"), Ok(1));
    let told = parse_size("10").unwrap_err().to_string();
    assert_eq!(told, "expected a unit, such as \"10GiB\"; \"10B\" is 10 bytes");
}
