//! Paths among the filters of a list.

use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use serde_json::{Map, Value};

use super::asker::Asker;
use super::endpoint::{percent_decoded, percent_encoded};

/// The key of filters that compares with the sources of mounts: `docker ps --filter volume=PATH`.
const VOLUME: &str = "volume";

/// `uri` with the engine's path beside each of the asker's that containers are filtered by; none when there is nothing to
/// add. What is not understood is for dockerd to judge.
///
/// A path stays beside its translation: dockerd compares it with the places inside containers, too.
pub(super) async fn translate<A: Asker>(uri: &Uri, asker: &A) -> Option<Uri> {
    let parameters: Vec<&str> = uri.query()?.split('&').collect();
    // The first of a name is the one that dockerd takes.
    let (at, text) = parameters
        .iter()
        .enumerate()
        .find_map(|(at, parameter)| Some((at, parameter.strip_prefix("filters=")?)))?;
    let text = text.replace('+', " ");
    let mut filters: Map<String, Value> = serde_json::from_slice(&percent_decoded(&text)).ok()?;
    if !add(filters.get_mut(VOLUME)?, asker).await {
        return None;
    }
    let filters = format!("filters={}", percent_encoded(Value::Object(filters).to_string().as_bytes()));
    let mut parameters = parameters;
    parameters[at] = &filters;
    let whole = format!("{}?{}", uri.path(), parameters.join("&"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(whole).ok()?);
    Uri::from_parts(parts).ok()
}

/// Adds translations to the values of one filter, in whichever of the API's two forms; whether there were any.
async fn add<A: Asker>(values: &mut Value, asker: &A) -> bool {
    let given: Vec<String> = match &*values {
        Value::Object(map) => map.keys().cloned().collect(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => return false,
    };
    let mut found = false;
    for path in given.iter().filter(|value| value.starts_with('/')) {
        // One that is not shared is no source of any container.
        let Ok(seen) = asker.translate(path).await else { continue };
        match values {
            Value::Object(map) => drop(map.insert(seen, Value::Bool(true))),
            Value::Array(list) => list.push(Value::String(seen)),
            _ => {}
        }
        found = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;
    use crate::proxy::Denied;

    /// Sees `/own` as `/views/x/own`, and nothing else.
    struct Someone;

    impl Asker for Someone {
        async fn translate(&self, path: &str) -> Result<String, Denied> {
            let denied = || Denied { status: StatusCode::FORBIDDEN, message: String::new() };
            path.starts_with("/own").then(|| format!("/views/x{path}")).ok_or_else(denied)
        }

        fn reveal(&self, _path: &str) -> Option<String> {
            None
        }
    }

    async fn translated(query: &str) -> Option<String> {
        let uri: Uri = format!("/v1.45/containers/json{query}").parse().unwrap();
        let uri = translate(&uri, &Someone).await?;
        Some(String::from_utf8(percent_decoded(uri.path_and_query().unwrap().as_str()).into_owned()).unwrap())
    }

    #[tokio::test]
    async fn the_engine_s_path_stands_beside_the_asker_s() {
        for (query, expected) in [
            (
                "?all=1&filters=%7B%22volume%22%3A%7B%22%2Fown%2Fa%20b%22%3Atrue%7D%7D&limit=2",
                r#"/v1.45/containers/json?all=1&filters={"volume":{"/own/a b":true,"/views/x/own/a b":true}}&limit=2"#,
            ),
            (
                "?filters=%7b%22volume%22:%5b%22/own/a+b%22,%22data%22%5d,%22status%22:%5b%22exited%22%5d%7d",
                r#"/v1.45/containers/json?filters={"volume":["/own/a b","data","/views/x/own/a b"],"status":["exited"]}"#,
            ),
        ] {
            assert_eq!(translated(query).await.as_deref(), Some(expected), "{query}");
        }
    }

    #[tokio::test]
    async fn what_has_no_path_of_the_asker_s_stays_as_it_is() {
        for query in [
            "",
            "?all=1",
            "?filters=",
            "?filters=%7B%22volume%22%3A%5B%22data%22%5D%7D",
            "?filters=%7B%22volume%22%3A%5B%22%2Fother%22%5D%7D",
            "?filters=%7B%22volume%22%3A%22%2Fown%22%7D",
            "?filters=%7B%22name%22%3A%5B%22%2Fown%22%5D%7D",
            "?filters=%7B%22volume%22%3A%5B%22%2Fown%22%5D",
            "?filters=%FF",
            "?xfilters=%7B%22volume%22%3A%5B%22%2Fown%22%5D%7D",
        ] {
            assert_eq!(translated(query).await, None, "{query}");
        }
    }
}
