//! Policies: rules and waivers in the configuration, and what they make of a release.

use serde_json::Value;
use toml::Table;

use super::{Proxy, Release, Setup};

impl Setup {
    /// Replaces the rules and waivers by these, in TOML.
    pub(crate) fn policy(mut self, mode: &str, rules: &str) -> Self {
        let mut policy: Table = rules.parse().unwrap();
        let section =
            policy.remove("policy").map_or_else(Table::new, |section| section.as_table().unwrap().clone());
        let mut kept = self
            .table
            .remove("policy")
            .map_or_else(Table::new, |section| section.as_table().unwrap().clone());
        for key in ["rules", "waivers"] {
            kept.remove(key);
        }
        kept.extend(section);
        kept.insert("mode".to_owned(), mode.into());
        self.table.insert("policy".to_owned(), kept.into());
        self
    }
}

impl Proxy {
    /// The status that the index shows of a release.
    #[track_caller]
    pub(crate) fn row_of(&self, release: &Release) -> Value {
        let index = self.client().get(&release.index()).ok().json();
        let version = release.metadata("")["version"].clone();
        let rows = index["items"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["version"] == version).unwrap()["status"].clone()
    }

    /// That both sides and the bytes of a release are refused by a rule, with this reason.
    #[track_caller]
    pub(crate) fn is_refused_by(&self, release: &Release, rule: &str, reason: &str) -> Value {
        let exact = self.client().get(&release.exact()).problem(403, "authorization-failed");
        let archive = self.client().get(&release.download()).problem(403, "authorization-failed");
        for refusal in [&exact, &archive] {
            assert_eq!(refusal["policy"], rule, "{refusal}");
            assert!(refusal["detail"].as_str().unwrap().contains(reason), "{refusal}");
        }
        let row = self.row_of(release);
        assert_eq!(row["state"], "blocked", "{row}");
        assert!(row["reason"].as_str().unwrap().starts_with(&format!("policy:{rule}")), "{row}");
        exact
    }

    /// That nothing stands against a release.
    #[track_caller]
    pub(crate) fn is_let_in(&self, release: &Release) {
        let exact = self.client().get(&release.exact()).ok().json();
        assert_eq!(exact["status"]["state"], "available", "{exact}");
        assert_eq!(self.client().get(&release.download()).ok().body, release.archive());
        assert_eq!(self.row_of(release)["state"], "available");
    }
}
