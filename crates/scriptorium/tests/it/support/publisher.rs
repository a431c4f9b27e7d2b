//! Whoever publishes: announces an upload, sends bytes where it is told to, finalizes, withdraws. It does what
//! a client of the protocol does, and every step can be left out or done wrongly.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::catalogue::Artifact;
use super::{Answer, Client, Publishing, Release, hex_digest};

/// Somebody with a token.
#[derive(Clone)]
pub(crate) struct Publisher {
    client: Client,
    token: String,
    key: Option<String>,
}

impl Publisher {
    /// Somebody who may publish, through whatever listens there.
    pub(crate) fn at(client: Client) -> Self {
        Self { client, token: Publishing::TOKEN.to_owned(), key: None }
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self }
    }

    /// The same with this `Idempotency-Key` on everything but the bytes.
    pub(crate) fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// All three steps; the answer to the last.
    pub(crate) fn publish(&self, release: &Release) -> Answer {
        let intent = self.announce(release);
        assert_eq!(intent.status, 201, "{}", intent.text());
        let sent = self.send(&intent.json(), &release.archive());
        assert!((200..300).contains(&sent.status), "{} {}", sent.status, sent.text());
        self.finalize(release, &intent.json())
    }

    /// Announces a release's archive with its digest and size.
    pub(crate) fn announce(&self, release: &Release) -> Answer {
        self.ask("POST", &volume(&release.name), Some(&announcement(release)))
    }

    pub(crate) fn finalize(&self, release: &Release, intent: &Value) -> Answer {
        let upload = intent["uploadId"].as_str().unwrap();
        self.ask("POST", &format!("{}/uploads/{upload}/finalize", volume(&release.name)), None)
    }

    pub(crate) fn withdraw(&self, release: &Release) -> Answer {
        self.ask("DELETE", &release.exact(), None)
    }

    /// Announces an attachment of a release.
    pub(crate) fn announce_trust(&self, release: &Release, artifact: &Artifact) -> Answer {
        let described = artifact.attachment("");
        let body = json!({
            "subject": { "purl": release.purl(), "integrity": release.integrity() },
            "attachment": { "category": described["category"], "format": described["format"] },
            "declaredDigest": described["artifactDigest"],
            "declaredSize": artifact.bytes.len(),
        });
        self.ask("POST", &release.trust("uploads"), Some(&body))
    }

    pub(crate) fn finalize_trust(&self, release: &Release, intent: &Value) -> Answer {
        let upload = intent["uploadId"].as_str().unwrap();
        let target = format!("{}/{upload}/finalize", release.trust("uploads"));
        self.ask("POST", &target, None)
    }

    /// Sends bytes as the instruction of an intent says, with the publisher's token.
    pub(crate) fn send(&self, intent: &Value, bytes: &[u8]) -> Answer {
        self.send_with(intent, &[("authorization", &format!("Bearer {}", self.token))], bytes)
    }

    /// The same with these headers beside the instruction's.
    pub(crate) fn send_with(&self, intent: &Value, fields: &[(&str, &str)], bytes: &[u8]) -> Answer {
        let instruction = Instruction::of(intent);
        let named = instruction.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = named.chain(fields.iter().copied()).collect();
        instruction.client.send_body(&instruction.method, &instruction.target, &fields, bytes)
    }

    /// One request with the token, the key and, where there is one, a JSON body.
    pub(crate) fn ask(&self, method: &str, target: &str, body: Option<&Value>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut fields = vec![("authorization", bearer.as_str())];
        fields.extend(self.key.as_deref().map(|key| ("idempotency-key", key)));
        fields.extend(body.map(|_| ("content-type", "application/json")));
        let body = body.map(Value::to_string).unwrap_or_default();
        self.client.send_body(method, target, &fields, body.as_bytes())
    }
}

/// Where the bytes of an upload go, and how.
pub(crate) struct Instruction {
    pub(crate) client: Client,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Instruction {
    pub(crate) fn of(intent: &Value) -> Self {
        let upload = &intent["upload"];
        let url = url::Url::parse(upload["url"].as_str().unwrap()).unwrap();
        let address = url.socket_addrs(|| None).unwrap();
        let fields = upload["headers"].as_object().into_iter().flatten();
        let fields = fields.map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned()));
        Self {
            client: Client(address.into_iter().find(SocketAddr::is_ipv4).unwrap()),
            method: upload["method"].as_str().unwrap_or("PUT").to_owned(),
            target: url[url::Position::BeforePath..].to_owned(),
            fields: fields.collect(),
        }
    }
}

/// The body that announces a release's archive.
pub(crate) fn announcement(release: &Release) -> Value {
    let archive = release.archive();
    json!({
        "version": release.version,
        "mediaType": "application/gzip",
        "declaredDigest": format!("sha256:{}", hex_digest(&archive)),
        "declaredSize": archive.len(),
    })
}

/// The route that takes announcements for a volume.
pub(crate) fn volume(name: &str) -> String {
    format!("/api/v1/volumes/{name}")
}
