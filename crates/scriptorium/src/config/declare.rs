//! The macros that declare the configuration: a section with its keys, and a choice between words.
//!
//! | in `section!` | becomes |
//! |---|---|
//! | `///` | the field's documentation, the comment in the sample file, the text in the reference page |
//! | `name: Type` | the key, and the field that holds its value |
//! | `= default` | the value if no source gives one; it may use keys that are declared above it |
//! | a format | what is accepted, how it is printed, and an example if there is no default to show |
//! | an `AppliedBy` | the part that applies a changed value; keys of a nested table take it from the table |
//!
//! Keys in the block `requires` have no default. `..field: Section` adds the keys of another section.
//! Owns the form of declarations. Must not know any key.

/// Declares a section; the header of this file says how.
macro_rules! section {
    ($(#[doc = $doc:literal])* $vis:vis struct $name:ident { $($keys:tt)* }) => {
        section! { $(#[doc = $doc])* $vis struct $name requires {} with { $($keys)* } }

        impl Default for $name {
            fn default() -> Self {
                Self::with()
            }
        }
    };
    (
        $(#[doc = $doc:literal])* $vis:vis struct $name:ident
        requires { $($(#[doc = $need_why:literal])* $need:ident: $need_type:ty, $need_format:expr;)* }
        with {
            $($(#[doc = $why:literal])* $key:ident: $type:ty = $default:expr, $format:expr $(, $by:ident)?;)*
            $(..$added:ident: $added_type:ident;)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name {
            $($(#[doc = $need_why])* pub $need: $need_type,)*
            $($(#[doc = $why])* pub $key: $type,)*
            $(pub $added: $added_type,)?
        }

        impl $name {
            /// The section with its required keys, and every other key at its default.
            $vis fn with($($need: $need_type),*) -> Self {
                $(let $key: $type = $default;)*
                Self { $($need,)* $($key,)* $($added: $added_type::default(),)? }
            }
        }

        impl $crate::config::section::Section for $name {
            fn read(table: &mut $crate::config::section::TableReader<'_, '_>) -> Option<Self> {
                $(let $need = table.required(stringify!($need), $need_format);)*
                $(let $key: $type = table.value(stringify!($key), $format, || $default);)*
                $(let $added = $added_type::read(table);)?
                #[allow(unused_mut, reason = "a section may have required keys only")]
                let mut read = Self::with($($need?),*);
                $(read.$key = $key;)*
                $(read.$added = $added?;)?
                Some(read)
            }

            fn keys() -> Vec<$crate::config::section::ConfigKey<Self>> {
                use $crate::config::section::ConfigKey;
                let required: Vec<ConfigKey<Self>> = vec![$(
                    ConfigKey::new(stringify!($need), &[$($need_why),*], None, $need_format, None, |own| &own.$need),
                )*];
                $(let $key: $type = $default;)*
                let others: Vec<ConfigKey<Self>> = vec![$(
                    ConfigKey::new(stringify!($key), &[$($why),*], section!(@by $($by)?), $format, Some(&$key), |own| &own.$key),
                )*];
                let keys = required.into_iter().chain(others);
                $(
                    let added = $added_type::keys().into_iter();
                    let keys = keys.chain(added.map(|key| key.added_to(|own: &Self| &own.$added)));
                )?
                keys.collect()
            }
        }
    };
    (@by) => { None };
    (@by $by:ident) => { Some($crate::config::about::AppliedBy::$by) };
}

/// Declares an enum whose variants are words in the configuration. The documentation of its key explains
/// them.
macro_rules! choice {
    ($vis:vis enum $name:ident { $($variant:ident = $word:literal),+ }) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name { $($variant),+ }

        impl $crate::config::formats::Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }
    };
}

pub(super) use {choice, section};
