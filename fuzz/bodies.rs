//! What holds for any bytes as a body that passes the proxy of the Docker API. The fuzz target calls it, and so do the
//! tests of `sampan-relay`, so that it is always built and run.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sampan_relay::proxy::{Asker, Denied, Method, StatusCode, bodies};
use serde_json::Value;

const VIEW: &str = "/views/x";

/// Sees everything but what begins with `/no`.
struct Tree;

impl Asker for Tree {
    async fn translate(&self, path: &str) -> Result<String, Denied> {
        assert!(path.starts_with('/'), "{path:?} is not for an asker");
        if path.starts_with("/no") {
            return Err(Denied { status: StatusCode::FORBIDDEN, message: "no".to_owned() });
        }
        Ok(format!("{VIEW}{path}"))
    }

    fn reveal(&self, path: &str) -> Option<String> {
        path.strip_prefix(VIEW).map(str::to_owned)
    }
}

/// Passes `data` through the proxy as every kind of body.
pub fn bodies(data: &[u8]) {
    for path in ["/containers/create", "/volumes/create", "/services/create", "/services/x/update"] {
        request(path, data);
    }
    for shown in [bodies::answer(data, &Tree), bodies::refusal(data, &Tree)].into_iter().flatten() {
        // The reader of answers takes the last of two equal keys, as dockerd writes none.
        let came: Value = serde_json::from_slice(data).expect("only JSON is changed");
        let shown: Value = serde_json::from_slice(&shown).expect("it stays JSON");
        same_but(&came, &shown, &|came, shown| came.contains(VIEW) && came.len() > shown.len());
    }
}

fn request(path: &str, data: &[u8]) {
    let sent = match now(bodies::request(&Method::POST, path, data, &Tree)) {
        Ok(Some(sent)) => sent,
        Ok(None) => return,
        Err(denied) => {
            assert!(matches!(denied.status, StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN), "{denied}");
            return;
        }
    };
    let translated =
        |came: &str, sent: &str| sent.len() > came.len() && sent.replace(VIEW, "") == came.replace(VIEW, "");
    // Once more makes no sense, but it is a body as any other, with as many paths.
    let again = now(bodies::request(&Method::POST, path, &sent, &Tree));
    let again = again.expect("all of it is seen").expect("there are paths in it");
    // This reader knows no numbers as large and no lists as deep as dockerd's may be.
    let Ok(came) = serde_json::from_slice::<Value>(data) else { return };
    let dockerds: Value = serde_json::from_slice(&sent).expect("it stays JSON");
    let changed = same_but(&came, &dockerds, &translated);
    assert!(changed > 0, "made anew for nothing");
    let again: Value = serde_json::from_slice(&again).expect("it stays JSON");
    assert_eq!(same_but(&dockerds, &again, &|_, sent| sent.contains(VIEW)), changed);
}

/// Nothing differs but strings of which `may` says so; returns how many.
fn same_but(came: &Value, left: &Value, may: &impl Fn(&str, &str) -> bool) -> usize {
    match (came, left) {
        (Value::Array(came), Value::Array(left)) => {
            assert_eq!(came.len(), left.len());
            came.iter().zip(left).map(|(came, left)| same_but(came, left, may)).sum()
        }
        (Value::Object(came), Value::Object(left)) => {
            assert!(came.keys().eq(left.keys()), "{came:?} became {left:?}");
            came.values().zip(left.values()).map(|(came, left)| same_but(came, left, may)).sum()
        }
        (Value::String(came), Value::String(left)) if came != left => {
            assert!(may(came, left), "{came:?} became {left:?}");
            1
        }
        // Docker has no numbers with a fraction, and their last digit may be another way to write the same.
        (Value::Number(came), Value::Number(left)) if came.is_f64() && left.is_f64() => 0,
        _ => {
            assert_eq!(came, left);
            0
        }
    }
}

/// The result of what never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("this asker knows at once"),
    }
}
