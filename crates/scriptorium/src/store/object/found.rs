//! What the answers of the library mean: a value, its absence, or why it cannot be had.
//!
//! Owns that. Must not know what is asked.

use std::error::Error;
use std::{io, iter};

use crate::store::StoreError;

/// Absence is an answer, not a failure.
pub(super) fn found<T>(result: object_store::Result<T>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(failure(error)),
    }
}

/// The library wraps the error of the operating system, whose kind decides what an operator is told.
pub(super) fn failure(error: object_store::Error) -> StoreError {
    use object_store::Error::{PermissionDenied, Unauthenticated};
    if let PermissionDenied { .. } | Unauthenticated { .. } = error {
        return StoreError::Denied;
    }
    let first: &(dyn Error + 'static) = &error;
    let mut causes = iter::successors(Some(first), |&cause| cause.source());
    let kind = causes.find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    kind.and_then(StoreError::of_kind).unwrap_or_else(|| StoreError::Io { source: error.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_learns_what_the_system_said() {
        let wrapped = |kind: io::ErrorKind| {
            let source = Box::new(Wrapper(kind.into()));
            failure(object_store::Error::Generic { store: "test", source })
        };
        assert!(matches!(wrapped(io::ErrorKind::StorageFull), StoreError::Full));
        assert!(matches!(wrapped(io::ErrorKind::PermissionDenied), StoreError::Denied));
        assert!(matches!(wrapped(io::ErrorKind::BrokenPipe), StoreError::Io { .. }));
    }

    #[derive(Debug, thiserror::Error)]
    #[error("wrapped")]
    struct Wrapper(#[source] io::Error);
}
