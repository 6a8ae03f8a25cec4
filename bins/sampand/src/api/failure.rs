//! Failures as HTTP answers, and bodies that are refused in the same form.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sampan_backend::Error;
use sampan_model::api::{ErrorBody, ErrorCode};
use sampan_native::GROUP;

/// An answer that is not 2xx.
#[derive(Debug)]
pub(super) struct Failure(StatusCode, Error);

impl Failure {
    pub(super) fn internal() -> Self {
        Error::new(ErrorCode::Failed, "the service met a condition it does not know", None).into()
    }

    pub(super) fn not_found() -> Self {
        let error = Error::new(ErrorCode::Invalid, "there is no such endpoint", Some("see docs/api.md"));
        Self(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn denied() -> Self {
        let message = format!("only root and members of the group {GROUP} may use Sampan");
        let hint = format!("sudo usermod -aG {GROUP} USER, then log in again");
        Error::new(ErrorCode::Denied, message, Some(&hint)).into()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match error.code() {
            ErrorCode::Invalid => StatusCode::BAD_REQUEST,
            ErrorCode::Denied => StatusCode::FORBIDDEN,
            ErrorCode::Busy => StatusCode::CONFLICT,
            ErrorCode::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ErrorCode::Failed | ErrorCode::Prerequisite | ErrorCode::State | ErrorCode::DataMissing => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self(status, error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(ErrorBody { error: self.1.0 })).into_response()
    }
}

/// A JSON body; an empty one stands for all defaults.
pub(super) struct Body<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let invalid = |message: String| Failure::from(Error::new(ErrorCode::Invalid, message, None));
        let bytes = axum::body::Bytes::from_request(request, state)
            .await
            .map_err(|rejection| invalid(rejection.body_text()))?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| invalid(format!("the request's body is not understood: {error}")))
    }
}
