//! YAML of the files that are shipped, read as JSON: anchors are resolved, and what such files do not need is refused.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use yaml_rust2::{Yaml, YamlLoader};

/// The documents of a file in `packaging/`.
pub(crate) fn documents(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(file);
    let documents = YamlLoader::load_from_str(&fs::read_to_string(path).unwrap()).unwrap();
    documents.iter().map(value).collect()
}

fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Hash(fields) => {
            let fields = fields.iter().map(|(key, held)| (key.as_str().unwrap().to_owned(), value(held)));
            Value::Object(Map::from_iter(fields))
        }
        Yaml::Array(elements) => elements.iter().map(value).collect(),
        Yaml::String(text) => json!(text),
        Yaml::Integer(number) => json!(number),
        Yaml::Boolean(flag) => json!(flag),
        other => panic!("nothing of this kind is expected: {other:?}"),
    }
}

pub(crate) fn at<'a>(value: &'a Value, place: &str) -> &'a Value {
    value.pointer(place).unwrap_or_else(|| panic!("no {place} in {value:#}"))
}

pub(crate) fn text<'a>(value: &'a Value, place: &str) -> &'a str {
    at(value, place).as_str().unwrap()
}
