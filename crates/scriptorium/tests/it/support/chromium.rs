//! Chromium without a screen, driven through chromedriver (WebDriver over HTTP): a browser that shows a page as an operator
//! sees it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Conversation;

/// A browser with one window.
pub(crate) struct Chromium {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: TempDir,
}

impl Chromium {
    /// Starts one; `None` where none is installed, which may be required.
    pub(crate) fn start() -> Option<Self> {
        let driver =
            Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut driver = match driver {
            Ok(driver) => driver,
            Err(error) => {
                assert!(std::env::var_os("SCRIPTORIUM_REQUIRE_CHROMIUM").is_none(), "chromedriver: {error}");
                eprintln!("skipped: chromedriver is not installed");
                return None;
            }
        };
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            line.strip_suffix('.')?.split_once("started successfully on port ")?.1.parse().ok()
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("chromedriver names its port")));
        let profile = TempDir::new().unwrap();
        let mut browser = Self { driver, address, session: String::new(), _profile: profile };
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &profile,
        ];
        let options =
            json!({ "goog:chromeOptions": { "args": flags }, "goog:loggingPrefs": { "browser": "ALL" } });
        let session = browser.post("/session", &json!({ "capabilities": { "alwaysMatch": options } }));
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    /// Loads `url`.
    pub(crate) fn show(&self, url: &str) {
        self.ask("url", &json!({ "url": url }));
    }

    /// The window is so many pixels wide, and its user prefers this scheme of colours.
    pub(crate) fn look(&self, width: u32, scheme: &str) {
        let size = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": true });
        self.tell("Emulation.setDeviceMetricsOverride", &size);
        let scheme = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.tell("Emulation.setEmulatedMedia", &json!({ "features": scheme }));
    }

    /// The value of an expression in the page, whatever the page's own policy forbids.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.ask("execute/sync", &json!({ "script": format!("return {expression}"), "args": [] }))
    }

    /// What was written to the console since the last call.
    pub(crate) fn console(&self) -> Vec<Value> {
        self.ask("se/log", &json!({ "type": "browser" })).as_array().unwrap().clone()
    }

    fn tell(&self, command: &str, parameters: &Value) {
        self.ask("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
    }

    fn ask(&self, what: &str, body: &Value) -> Value {
        self.post(&format!("/session/{}/{what}", self.session), body)
    }

    fn post(&self, target: &str, body: &Value) -> Value {
        let (body, host) = (body.to_string(), self.address);
        // A browser takes long to start on a busy machine.
        let mut conversation = Conversation::open(host).unwrap().patient();
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        conversation.write((head + &body).as_bytes()).unwrap();
        let answer = conversation.answer().unwrap();
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        answer.json()["value"].clone()
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The driver ends its browser, and nobody else's.
        if !self.session.is_empty() {
            let target = format!("/session/{}", self.session);
            if let Ok(mut conversation) = Conversation::open(self.address) {
                let _ = conversation.ask("DELETE", &target, &[]);
                let _ = conversation.answer();
            }
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
