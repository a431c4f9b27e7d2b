//! A bucket of S3-compatible storage.
//!
//! Owns how it is reached, what is read from the environment, and what a bucket must prove before it is used. Must not
//! know what is stored. No secret leaves this file: errors name variables, not values.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use object_store::aws::{
    AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider, S3ConditionalPut, S3CopyIfNotExists,
};
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ObjectStore, ObjectStoreExt, PutMode, PutResult, RetryConfig, UpdateVersion,
};

use super::breaker::BucketBreaker;
use super::{Commit, ObjectStorage, STAGING};
use crate::clock::SystemClock;

/// How often a failed request is retried.
const RETRIES: usize = 2;
/// No retry starts later than this after the request, so that an unreachable bucket fails in seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// The key of an object that never exists.
const NOTHING: &str = "nothing";

/// A bucket, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StorageBucket {
    /// Its name.
    pub(crate) name: String,
    /// The prefix of all keys, percent-encoded; may be empty.
    pub(crate) prefix: String,
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    /// The environment or the prefix is invalid.
    #[error("storage.url: the bucket cannot be set up from storage.url and the AWS_… variables")]
    Settings(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The environment has no credentials.
    #[error(
        "storage.url: no credentials for the bucket; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where \
         a role provides them"
    )]
    NoCredentials(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no such bucket.
    #[error(
        "storage.url: there is no bucket \"{0}\" at this endpoint; create it, or set AWS_ENDPOINT_URL and AWS_REGION \
         to where it is"
    )]
    NoBucket(String),
    /// The credentials have too few rights.
    #[error(
        "storage.url: the bucket refuses these credentials; they need to list it, and to read, write and delete \
         objects (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION)"
    )]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Two processes could overwrite each other's values.
    #[error(
        "storage.url: the endpoint ignores conditional writes ({0}), on which pins, commits and lists depend; use one \
         that honours If-None-Match and If-Match"
    )]
    Unconditional(&'static str),
    /// The endpoint does not answer.
    #[error(
        "storage.url: the bucket cannot be reached (AWS_ENDPOINT_URL, and AWS_ALLOW_HTTP=true for http://)"
    )]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ObjectStorage {
    /// Keeps values in `bucket`, which is reached as the environment says (`AWS_…`). Files are staged in `staging`, which
    /// must exist. Sends no request.
    ///
    /// # Errors
    /// [`BucketError::Settings`] when the environment is invalid.
    pub(crate) fn s3(bucket: &StorageBucket, staging: &Path) -> Result<Self, BucketError> {
        Self::on(bucket, staging, AmazonS3Builder::from_env())
    }

    /// A bucket of a test server at `endpoint`.
    #[cfg(test)]
    pub(in crate::store) fn s3_at(bucket: &StorageBucket, staging: &Path, endpoint: &str) -> Self {
        Self::on(bucket, staging, tests::environment(endpoint)).unwrap()
    }

    fn on(bucket: &StorageBucket, staging: &Path, environment: AmazonS3Builder) -> Result<Self, BucketError> {
        let (s3, prefix) = connect(bucket, environment)?;
        let prefixed = PrefixStore::new(s3, prefix);
        let objects = Arc::new(BucketBreaker::new(prefixed, Arc::new(SystemClock::default())));
        Ok(Self::over(objects, staging.to_owned(), Commit::Upload { _staging: None }))
    }
}

impl StorageBucket {
    /// Proves that the bucket exists and can be listed.
    ///
    /// # Errors
    /// [`BucketError`] says why not.
    pub(crate) async fn look(&self) -> Result<(), BucketError> {
        let (s3, prefix) = connect(self, AmazonS3Builder::from_env())?;
        self.look_into(&s3, &prefix).await
    }

    /// Proves that the bucket exists, can be written to, and lets only one of two writers win: of those who create a value, and of
    /// those who replace it.
    ///
    /// # Errors
    /// [`BucketError`] says why not.
    pub(crate) async fn prove(&self) -> Result<(), BucketError> {
        let (s3, prefix) = connect(self, AmazonS3Builder::from_env())?;
        self.prove_on(s3, prefix).await
    }

    async fn prove_on(&self, s3: AmazonS3, prefix: ObjectPath) -> Result<(), BucketError> {
        self.look_into(&s3, &prefix).await?;
        let name = format!("{STAGING}/condition-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let (bucket, path) = (PrefixStore::new(s3, prefix), ObjectPath::from(name));
        let put = |bytes: &'static str, mode: PutMode| bucket.put_opts(&path, bytes.into(), mode.into());
        let first = put("proof", PutMode::Create).await.map_err(|error| self.told(error))?;
        let again = put("proof", PutMode::Create).await;
        let of_first = || PutMode::Update(UpdateVersion { e_tag: first.e_tag.clone(), version: None });
        let replaced = put("another proof", of_first()).await;
        // It holds what was put first no more.
        let late = put("a late proof", of_first()).await;
        bucket.get(&path).await.map_err(|error| self.told(error))?;
        bucket.delete(&path).await.map_err(|error| self.told(error))?;
        self.only_one_won(again, "If-None-Match")?;
        replaced.map_err(|error| self.told_of_condition(error))?;
        self.only_one_won(late, "If-Match")
    }

    /// Whether `late`, the write of a second writer, was refused for its `condition`.
    fn only_one_won(
        &self,
        late: object_store::Result<PutResult>,
        condition: &'static str,
    ) -> Result<(), BucketError> {
        match late {
            Ok(_) => Err(BucketError::Unconditional(condition)),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(())
            }
            Err(error) => Err(self.told_of_condition(error)),
        }
    }

    /// Some endpoints answer a condition that they do not know with an error.
    fn told_of_condition(&self, error: object_store::Error) -> BucketError {
        match error {
            error if format!("{error:?}").contains("NotImplemented") => {
                BucketError::Unconditional("If-None-Match or If-Match")
            }
            error => self.told(error),
        }
    }

    async fn look_into(&self, s3: &AmazonS3, prefix: &ObjectPath) -> Result<(), BucketError> {
        let provider: &AwsCredentialProvider = s3.credentials();
        provider.get_credential().await.map_err(|error| BucketError::NoCredentials(error.into()))?;
        // Without the right to list the bucket, a missing object is reported as a refusal.
        match s3.head(&prefix.clone().join(NOTHING)).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(self.told(error)),
        }
        s3.list(Some(prefix)).next().await.transpose().map(drop).map_err(|error| self.told(error))
    }

    fn told(&self, error: object_store::Error) -> BucketError {
        match error {
            // A failed listing hides its status, but not the protocol's error code.
            error if format!("{error:?}").contains("NoSuchBucket") => {
                BucketError::NoBucket(self.name.clone())
            }
            object_store::Error::NotFound { .. } => BucketError::NoBucket(self.name.clone()),
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                BucketError::Refused(error.into())
            }
            error => BucketError::Unreachable(error.into()),
        }
    }
}

fn connect(
    bucket: &StorageBucket,
    environment: AmazonS3Builder,
) -> Result<(AmazonS3, ObjectPath), BucketError> {
    // For the client's TLS. If another part of the process was first, it installed the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let copies = environment.get_config_value(&AmazonS3ConfigKey::CopyIfNotExists).is_some();
    let environment =
        if copies { environment } else { environment.with_copy_if_not_exists(S3CopyIfNotExists::Multipart) };
    let retry =
        RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: PATIENCE };
    let s3 = environment
        .with_bucket_name(&bucket.name)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // Only one key at a time is ever deleted, and not every endpoint has the bulk call.
        .with_disable_bulk_delete(true)
        .with_retry(retry)
        .build();
    let s3 = s3.map_err(|error| BucketError::Settings(error.into()))?;
    let prefix = ObjectPath::from_url_path(&bucket.prefix);
    Ok((s3, prefix.map_err(|error| BucketError::Settings(error.into()))?))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::store::contract::moto;

    pub(super) fn environment(endpoint: &str) -> AmazonS3Builder {
        AmazonS3Builder::new()
            .with_endpoint(endpoint)
            .with_allow_http(true)
            .with_access_key_id("test")
            .with_secret_access_key("hunter2")
    }

    async fn prove(name: &str, environment: AmazonS3Builder) -> Result<(), BucketError> {
        let bucket = StorageBucket { name: name.to_owned(), prefix: "a%20b/c".to_owned() };
        let (s3, prefix) = connect(&bucket, environment)?;
        bucket.prove_on(s3, prefix).await
    }

    #[tokio::test]
    async fn a_bucket_proves_itself_or_says_what_to_do() {
        let Some(endpoint) = moto::endpoint() else { return };
        prove(moto::BUCKET, environment(endpoint)).await.unwrap();
        let missing = prove("not-there", environment(endpoint)).await.unwrap_err();
        assert!(matches!(&missing, BucketError::NoBucket(name) if name == "not-there"), "{missing:?}");
        assert!(missing.to_string().contains("AWS_ENDPOINT_URL"));
    }

    /// An endpoint that says yes to whatever it is asked, one connection a request, but answers `refused` to the fields that it
    /// honours.
    async fn agree(listener: TcpListener, honoured: &[(&str, &str)]) {
        let mut seen = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
            let asks = |field: &str| head.contains(&format!("\r\n{field}:"));
            let refused = honoured.iter().find(|(field, _)| asks(field) && seen.contains(field));
            seen.extend(honoured.iter().map(|(field, _)| *field).filter(|field| asks(field)));
            let status = refused.map_or("200 OK", |(_, status)| *status);
            let body = if head.starts_with("get") {
                "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
            } else {
                ""
            };
            let fields = "ETag: \"x\"\r\nLast-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close";
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\n{fields}\r\nContent-Length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_lets_two_writers_win_is_refused() {
        const FAILED: &str = "412 Precondition Failed";
        for (honoured, ignored) in [
            (&[][..], Some("If-None-Match")),
            (&[("if-none-match", FAILED)], Some("If-Match")),
            (&[("if-match", FAILED)], Some("If-None-Match")),
            (&[("if-none-match", FAILED), ("if-match", FAILED)], None),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = format!("http://{}", listener.local_addr().unwrap());
            let told = tokio::select! {
                () = agree(listener, honoured) => continue,
                proven = prove("bucket", environment(&endpoint)) => match proven {
                    Ok(()) => None,
                    Err(BucketError::Unconditional(ignored)) => Some(ignored),
                    Err(error) => panic!("{error:?}"),
                },
            };
            assert_eq!(told, ignored, "{honoured:?}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_told_in_seconds_and_says_no_secret() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = prove("bucket", environment(&format!("http://{closed}"))).await.unwrap_err();
        assert!(matches!(error, BucketError::Unreachable(_)), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn half_a_credential_and_an_unfit_prefix_are_settings() {
        let half = AmazonS3Builder::new().with_access_key_id("test");
        assert!(matches!(prove("bucket", half).await, Err(BucketError::Settings(_))));
        let bucket = StorageBucket { name: "bucket".to_owned(), prefix: "a//b".to_owned() };
        let refused = connect(&bucket, environment("http://127.0.0.1:1"));
        assert!(matches!(refused, Err(BucketError::Settings(_))));
    }
}
