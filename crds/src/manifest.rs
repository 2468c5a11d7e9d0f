//! Manifests: YAML (and with it JSON) to raw objects and back.

use serde::Serialize;
use serde_json::Value;
use serde_saphyr::Spanned;

/// A manifest that cannot be read, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The text is not YAML.
    #[error("{file}{}: {message}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Syntax {
        /// File.
        file: String,
        /// Line of the error, from 1, where the parser knows it.
        line: Option<u64>,
        /// What is wrong.
        message: String,
    },
    /// A document is no Kubernetes object.
    #[error("{file}:{line}: {message}")]
    NotAnObject {
        /// File.
        file: String,
        /// Line on which the document begins, from 1.
        line: u64,
        /// What is missing.
        message: String,
    },
    /// An object cannot be written as YAML.
    #[error("cannot be written as YAML: {0}")]
    Write(String),
}

/// Reads the objects of a manifest in their order. Documents are separated by `---`, empty ones are skipped, and objects of a kind that ends
/// in `List` with `items` (as `kubectl get -o yaml` prints) are replaced by their items. Nothing is validated beyond what makes an object:
/// `apiVersion`, `kind` and `metadata.name`.
///
/// # Errors
/// At the first document that is not YAML or not an object, with `file` (which is only used for this) and line.
pub fn read(file: &str, text: &str) -> Result<Vec<Value>, ManifestError> {
    // A dump of a large cluster is one document of a few million nodes; files of one's own need no guard against bombs but that of aliases.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_documents: 1_000_000, max_nodes: 50_000_000, max_events: 100_000_000 },
    };
    let documents = serde_saphyr::from_multiple_with_options::<Spanned<Value>>(text, options).map_err(|error| ManifestError::Syntax {
        file: file.to_owned(),
        line: error.location().map(|location| location.line()),
        message: error.without_snippet().to_string(),
    })?;
    let mut objects = Vec::new();
    for document in documents {
        let not_an_object =
            |message: String| ManifestError::NotAnObject { file: file.to_owned(), line: document.referenced.line(), message };
        match document.value {
            Value::Null => {}
            Value::Object(mut list) if is_list(&list) => {
                let Some(Value::Array(items)) = list.remove("items") else { continue };
                for (index, item) in items.into_iter().enumerate() {
                    check(&item).map_err(|message| not_an_object(format!("items[{index}]: {message}")))?;
                    objects.push(item);
                }
            }
            object => {
                check(&object).map_err(not_an_object)?;
                objects.push(object);
            }
        }
    }
    Ok(objects)
}

fn is_list(object: &serde_json::Map<String, Value>) -> bool {
    object.get("items").is_some_and(Value::is_array)
        && object.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
}

/// Says what keeps a value from being a Kubernetes object.
fn check(object: &Value) -> Result<(), String> {
    if !object.is_object() {
        return Err("not a Kubernetes object".to_owned());
    }
    for (path, pointer) in [("apiVersion", "/apiVersion"), ("kind", "/kind"), ("metadata.name", "/metadata/name")] {
        match object.pointer(pointer) {
            Some(Value::String(text)) if !text.is_empty() => {}
            Some(Value::String(_)) | None => return Err(format!("not a Kubernetes object: {path} is missing")),
            Some(_) => return Err(format!("not a Kubernetes object: {path} is not a text")),
        }
    }
    Ok(())
}

/// Writes objects as YAML documents.
///
/// # Errors
/// If one cannot be represented in YAML.
pub fn write<T: Serialize>(objects: &[T]) -> Result<String, ManifestError> {
    // By way of JSON: absent fields are left out as the API does it, and maps are in the order that JSON has.
    let values: Result<Vec<Value>, _> = objects.iter().map(serde_json::to_value).collect();
    let values = values.map_err(|error| ManifestError::Write(error.to_string()))?;
    serde_saphyr::to_string_multiple(&values).map_err(|error| ManifestError::Write(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_and_lists_are_read_in_order() {
        let text = "# a comment\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n---\napiVersion: v1\nkind: List\nitems:\n\
                    - {apiVersion: v1, kind: Service, metadata: {name: b}}\n- {apiVersion: v1, kind: Secret, metadata: {name: c}}\n---\n\
                    {\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"d\"}, \"spec\": {\"ports\": [{\"port\": 80}]}}\n";
        let objects = read("all.yaml", text).unwrap();
        let names: Vec<_> = objects.iter().filter_map(|it| it.pointer("/metadata/name")).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        assert_eq!(objects.last().and_then(|it| it.pointer("/spec/ports/0/port")), Some(&json!(80)));
        assert_eq!(read("empty.yaml", "# nothing\n"), Ok(vec![]));
    }

    #[test]
    fn errors_name_file_and_line() {
        let good = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n---\n";
        let broken = read("x.yaml", &format!("{good}a: [1,\nb: }}\n")).unwrap_err();
        assert!(matches!(&broken, ManifestError::Syntax { line: Some(5..=7), .. }), "{broken:?}");
        assert!(broken.to_string().starts_with("x.yaml:"), "{broken}");
        let nameless = read("x.yaml", &format!("{good}apiVersion: v1\nkind: Service\nmetadata: {{}}\n")).unwrap_err();
        assert_eq!(nameless.to_string(), "x.yaml:5: not a Kubernetes object: metadata.name is missing");
        let scalar = read("x.yaml", "hello\n").unwrap_err();
        assert_eq!(scalar.to_string(), "x.yaml:1: not a Kubernetes object");
        let item = read("x.yaml", "kind: List\napiVersion: v1\nitems: [{kind: Service}]\n").unwrap_err();
        assert_eq!(item.to_string(), "x.yaml:1: items[0]: not a Kubernetes object: apiVersion is missing");
        let twice = read("x.yaml", "apiVersion: v1\nkind: Service\nkind: Secret\nmetadata: {name: a}\n").unwrap_err();
        assert!(twice.to_string().starts_with("x.yaml:"), "{twice}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let objects = vec![
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "n": "0123", "b": "yes", "m": "x\ny: [\n" } }),
            json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "b" }, "empty": {}, "list": [], "none": null }),
        ];
        assert_eq!(read("written", &write(&objects).unwrap()), Ok(objects));
    }
}
