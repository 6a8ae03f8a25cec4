//! The service's API: HTTP/1.1 and JSON on the unix socket. One function per endpoint.

pub(crate) mod auth;
mod events;
mod failure;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sampan_backend::Error;
use sampan_backend::engine::{DEFAULT_STOP, Engine};
use sampan_model::api::{
    Distributions, ErrorCode, Event, ResetPlan, ResetRequest, STATE_HEADER, ShareRequest, StartRequest,
    Status, StopRequest, Version,
};
use sampan_model::engine::EngineState;
use sampan_model::ports::Ports;
use sampan_relay::docker::ContainerPort;

use self::failure::Failure;
use crate::service::Service;

/// This program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long an engine that runs may take to describe itself.
const INFO_LIMIT: Duration = Duration::from_secs(3);

impl Service {
    /// Asks the engine something that blocks.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let engine = Arc::clone(self.engine());
        let asked = tokio::task::spawn_blocking(move || question(&engine)).await;
        Ok(asked.map_err(|_| Failure::internal())??)
    }
}

type Shared = State<Arc<Service>>;

/// All endpoints.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/version", get(version))
        .route("/v1/distributions", get(distributions))
        .route("/v1/ports", get(ports))
        .route("/v1/start", post(start))
        .route("/v1/stop", post(stop))
        .route("/v1/restart", post(restart))
        .route("/v1/share", post(share))
        .route("/v1/reset", get(reset_plan).post(reset))
        .fallback(async || Failure::not_found())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&service), require_state_folder))
        .layer(axum::middleware::from_fn(auth::require_member))
        .with_state(service)
}

/// Refuses a client that means another state folder: it found this service only through a shared run folder.
async fn require_state_folder(
    State(service): Shared,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let own = service.engine().instance().state();
    let meant = request.headers().get(STATE_HEADER);
    if meant.is_none_or(|meant| meant.as_bytes() == own.as_os_str().as_encoded_bytes()) {
        return next.run(request).await;
    }
    let message = format!("the service here has the state folder {}, not yours", own.display());
    let hint =
        "give each state folder a run folder of its own: set SAMPAN_RUN_DIR too, or another --instance";
    Failure::from(Error::new(ErrorCode::State, message, Some(hint))).into_response()
}

async fn status(State(service): Shared) -> Result<Json<Status>, Failure> {
    let mut status = service.ask(|engine| Ok(engine.status(VERSION))).await?;
    if status.engine.state == EngineState::Running {
        // An engine that runs but does not say how it is: the status tells what is known without it.
        status.engine_info = sampan_relay::docker::info(&status.docker_socket, INFO_LIMIT).await.ok();
    }
    Ok(Json(status))
}

async fn version(State(service): Shared) -> Result<Json<Version>, Failure> {
    Ok(Json(service.ask(|engine| Ok(engine.version(VERSION))).await?))
}

async fn distributions(State(service): Shared) -> Result<Json<Distributions>, Failure> {
    let distributions = service.ask(|engine| engine.platform().distributions()).await?;
    Ok(Json(Distributions { distributions }))
}

async fn ports(State(service): Shared) -> Result<Json<Ports>, Failure> {
    let mut ports = service.ask(Engine::ports).await?;
    let socket = service.engine().instance().docker_socket();
    // Without their names they are all there just the same.
    if !ports.ports.is_empty()
        && let Ok(named) = sampan_relay::docker::ports(&socket, INFO_LIMIT).await
    {
        for port in ports.ports.iter_mut().filter(|port| port.name.is_none()) {
            let is_it = |other: &&ContainerPort| {
                other.host == port.binding.host && other.protocol == port.binding.protocol.to_string()
            };
            port.name = named.iter().find(is_it).map(|other| other.name.clone());
        }
    }
    Ok(Json(ports))
}

async fn start(State(service): Shared, body: failure::Body<StartRequest>) -> Result<Response, Failure> {
    Ok(events::stream(service.start(body.0)?))
}

async fn restart(State(service): Shared, body: failure::Body<StartRequest>) -> Result<Response, Failure> {
    Ok(events::stream(service.restart(body.0)?))
}

async fn share(State(service): Shared, body: failure::Body<ShareRequest>) -> Result<Response, Failure> {
    let tree = body.0.working_tree;
    let told = service.ask(move |engine| {
        let told = Mutex::new(Vec::new());
        let tell = |event| told.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        engine.platform().share(&tree, &tell)?;
        Ok(told.into_inner().unwrap_or_else(PoisonError::into_inner))
    });
    let told = told.await?;
    let already = told.is_empty();
    let message = if already { "it is shared already" } else { "it is shared" }.to_owned();
    let done = Event::Done { message, already, marks: Vec::new(), remaining: Vec::new() };
    Ok(events::all(&told, &done))
}

async fn stop(State(service): Shared, body: failure::Body<StopRequest>) -> Result<Response, Failure> {
    let limit = body.0.timeout_seconds.map_or(DEFAULT_STOP, |seconds| Duration::from_secs(seconds.into()));
    Ok(events::stream(service.stop(limit)?))
}

async fn reset_plan(
    State(service): Shared,
    Query(request): Query<ResetRequest>,
) -> Result<Json<ResetPlan>, Failure> {
    Ok(Json(service.ask(move |engine| engine.reset_plan(request.all)).await?))
}

async fn reset(State(service): Shared, body: failure::Body<ResetRequest>) -> Result<Response, Failure> {
    Ok(events::stream(service.reset(body.0.all)?))
}
