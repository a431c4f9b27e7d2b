//! Licence expressions, and the licences that an operator allows.
//!
//! Owns what an expression needs: of `A OR B` one allowed licence is enough, `A AND B` needs both. Identifiers are matched without case (SPDX
//! specification, "License expressions"), and operators may be in lower case. The grammar and the list of identifiers are the `spdx` crate's. Deprecated identifiers (`GPL-3.0`) are read, for manifests have them; each is a
//! licence of its own. Must not know manifests.

use spdx::identifiers::{EXCEPTIONS, LICENSES};
use spdx::{Expression, Licensee, ParseMode};

/// The longest expression that is read.
const MAX_EXPRESSION: usize = 1024;

const MODE: ParseMode = ParseMode { allow_deprecated: true, ..ParseMode::STRICT };

/// The licences that are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AllowedLicences(Vec<Licensee>);

/// What an expression needs that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LicenceNeed {
    /// The allowed licences are enough.
    Allowed,
    /// These would be needed too.
    Outside(Vec<String>),
    /// Nobody can tell.
    Unreadable,
}

impl AllowedLicences {
    pub(crate) fn new(licences: Vec<Licensee>) -> Self {
        Self(licences)
    }

    /// What `expression` needs beyond these licences.
    pub(crate) fn need(&self, expression: &str) -> LicenceNeed {
        if expression.len() > MAX_EXPRESSION {
            return LicenceNeed::Unreadable;
        }
        let Ok(expression) = Expression::parse_mode(&as_listed(expression), MODE) else {
            return LicenceNeed::Unreadable;
        };
        match expression
            .evaluate_with_failures(|needed| self.0.iter().any(|licence| licence.satisfies(needed)))
        {
            Ok(()) => LicenceNeed::Allowed,
            Err(needed) => {
                LicenceNeed::Outside(needed.into_iter().map(|needed| needed.req.to_string()).collect())
            }
        }
    }

    /// Whether each of these is one of `other`.
    pub(crate) fn are_among(&self, other: &Self) -> bool {
        self.0.iter().all(|licence| other.0.contains(licence))
    }
}

/// One licence with its exception, as in `Apache-2.0 WITH LLVM-exception`.
pub(crate) fn licence(text: &str) -> Option<Licensee> {
    Licensee::parse_mode(&as_listed(text), MODE).ok()
}

/// `expression` with each identifier of a licence or an exception as the list spells it.
fn as_listed(expression: &str) -> String {
    let mut spelled = String::with_capacity(expression.len());
    for part in expression.split_inclusive(|end: char| end.is_whitespace() || matches!(end, '(' | ')' | '+'))
    {
        let word = part.trim_end_matches(|end: char| end.is_whitespace() || matches!(end, '(' | ')' | '+'));
        let licences = LICENSES.iter().map(|licence| licence.name);
        let listed = licences.chain(EXCEPTIONS.iter().map(|exception| exception.name));
        let listed = listed.into_iter().find(|name| name.eq_ignore_ascii_case(word));
        spelled.push_str(listed.unwrap_or(word));
        spelled.push_str(&part[word.len()..]);
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn allowed(licences: &[&str]) -> AllowedLicences {
        AllowedLicences::new(licences.iter().map(|text| licence(text).unwrap()).collect())
    }

    #[test]
    fn an_expression_needs_what_it_says() {
        let few = allowed(&["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "LicenseRef-corp"]);
        for enough in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "GPL-3.0-only OR (MIT AND Apache-2.0)",
            "MIT AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
            "LicenseRef-corp",
            "mit",
            "(mIt OR gpl-3.0-ONLY) AND apache-2.0",
            "APACHE-2.0 WITH llvm-EXCEPTION",
            "mit or gpl-3.0-only",
        ] {
            assert_eq!(few.need(enough), LicenceNeed::Allowed, "{enough}");
        }
        for outside in [
            "GPL-3.0-only",
            "GPL-3.0",
            "MIT AND GPL-3.0-only",
            "(MIT OR Apache-2.0) AND GPL-2.0-or-later",
            "MIT WITH LLVM-exception",
            "LicenseRef-other",
        ] {
            assert!(matches!(few.need(outside), LicenceNeed::Outside(_)), "{outside}");
        }
        for unreadable in [
            "",
            "UNLICENSED",
            "MIT OR",
            "MIT/Apache-2.0",
            "mitt",
            "see LICENSE",
            "(MIT",
            &"MIT OR ".repeat(200),
        ] {
            assert_eq!(few.need(unreadable), LicenceNeed::Unreadable, "{unreadable}");
        }
        assert_eq!(few.need("MIT AND GPL-3.0-only"), LicenceNeed::Outside(vec!["GPL-3.0-only".to_owned()]));
    }

    #[test]
    fn a_licence_is_the_same_in_any_case() {
        for listed in LICENSES.iter().map(|licence| licence.name).filter(|name| licence(name).is_some()) {
            for spelled in [listed.to_lowercase(), listed.to_uppercase()] {
                assert_eq!(licence(&spelled), licence(listed), "{spelled}");
                assert_eq!(allowed(&[&*spelled]).need(listed), LicenceNeed::Allowed, "{spelled}");
                assert_eq!(allowed(&[listed]).need(&spelled), LicenceNeed::Allowed, "{spelled}");
            }
        }
    }

    #[test]
    fn a_list_names_licences_and_no_expressions() {
        for bad in ["", "MIT OR Apache-2.0", "nothing", "MIT+", "Apache 2"] {
            assert_eq!(licence(bad), None, "{bad}");
        }
    }

    /// Whether one of the allowed licences is enough, by the definition of both operators.
    #[derive(Debug, Clone)]
    enum Tree {
        One(&'static str),
        Or(Box<Tree>, Box<Tree>),
        And(Box<Tree>, Box<Tree>),
    }

    impl Tree {
        fn text(&self) -> String {
            match self {
                Self::One(licence) => (*licence).to_owned(),
                Self::Or(one, other) => format!("({} OR {})", one.text(), other.text()),
                Self::And(one, other) => format!("({} AND {})", one.text(), other.text()),
            }
        }

        fn enough(&self, allowed: &[&str]) -> bool {
            match self {
                Self::One(licence) => allowed.contains(licence),
                Self::Or(one, other) => one.enough(allowed) || other.enough(allowed),
                Self::And(one, other) => one.enough(allowed) && other.enough(allowed),
            }
        }
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let one = prop::sample::select(vec!["MIT", "Apache-2.0", "GPL-3.0-only", "ISC"]).prop_map(Tree::One);
        one.prop_recursive(4, 16, 2, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(one, other)| Tree::Or(one.into(), other.into())),
                (inner.clone(), inner).prop_map(|(one, other)| Tree::And(one.into(), other.into())),
            ]
        })
    }

    proptest! {
        #[test]
        fn needs_are_those_of_the_operators(tree in tree()) {
            let need = allowed(&["MIT", "ISC"]).need(&tree.text());
            prop_assert_eq!(need == LicenceNeed::Allowed, tree.enough(&["MIT", "ISC"]));
        }

        #[test]
        fn never_panics(text in "(MIT|OR|AND|WITH|\\(|\\)|\\+| |GPL-2.0|LicenseRef-|:|\\PC){0,12}") {
            let _ = (allowed(&["MIT"]).need(&text), licence(&text));
        }
    }
}
