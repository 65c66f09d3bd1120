//! The log over HTTP (`specs/log.md`, `specs/submit.md`): a thin skin. Every refusal is one line of text with its status, made
//! in `problem`; nothing is decided here that matters to the log's contents.

mod add;
mod batch;
mod body;
mod buffers;
mod entries;
mod intake;
mod linger;
mod lookup;
mod manifest;
mod problem;
mod reads;

use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use store::Store;
use tokio::sync::Semaphore;
use tower::util::ServiceExt as _;

use crate::clock::Clock;
use crate::frozen::Frozen;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::roles::Desk;
use crate::room::Room;
use crate::scrub::Board;
use crate::shared::Shared;
use crate::telemetry;

pub use buffers::Buffers;
pub use intake::{Intake, Uploads};
pub use lookup::LOOKUPS;
pub use problem::Problem;

/// What every request may need.
pub struct App {
    /// The published tree and the log's standing.
    pub shared: Arc<Shared>,
    /// Where tiles, bundles and manifests are read from.
    pub store: Arc<dyn Store>,
    /// Memory for the objects that are read there.
    pub buffers: Arc<Buffers>,
    /// Takes in the bodies of large requests.
    pub intake: Intake,
    /// Lookups that are answered at once, [`LOOKUPS`] of them.
    pub lookups: Arc<Semaphore>,
    /// Batches that are worked on at once: as many as there are processors.
    pub batches: Semaphore,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What the scrub has found.
    pub scrub: Arc<Board>,
    /// For `/healthz`.
    pub clock: Arc<dyn Clock>,
    /// After how many seconds without a new cosigned checkpoint the log counts as ill; 0 where nothing is cosigned.
    pub stale_after: u64,
    /// Why nothing is taken any more, if the log is frozen.
    pub frozen: Option<Frozen>,
    /// Room on the disk.
    pub room: Room,
    /// Who may add what.
    pub door: Door,
}

/// The two kinds of log.
pub enum Door {
    /// Made with `--open`: anyone adds anything.
    Open(Arc<Pool<()>>),
    /// Roles say who may add what.
    Roles(Arc<Desk>),
}

impl App {
    /// The desk of a log with roles; an open log has none.
    fn desk(&self) -> Result<&Arc<Desk>, Problem> {
        match &self.door {
            Door::Roles(desk) => Ok(desk),
            Door::Open(_) => Err(Problem::NotFound),
        }
    }
}

impl Door {
    /// Takes no more entries.
    pub fn close(&self) {
        match self {
            Self::Open(pool) => pool.close(),
            Self::Roles(desk) => desk.pool.close(),
        }
    }

    /// Entries that wait, and bytes held.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        match self {
            Self::Open(pool) => pool.load(),
            Self::Roles(desk) => desk.pool.load(),
        }
    }
}

/// The routes that [`Front`] leaves to it: all, for a wrong method or path is answered here, too.
fn router(app: Arc<App>) -> Router {
    let mut router = Router::new()
        .route("/checkpoint", get(reads::checkpoint))
        .route("/tile/{*path}", get(reads::tile))
        .route("/frozen", get(reads::frozen))
        .route("/metrics", get(reads::metrics))
        .route("/healthz", get(reads::health));
    router = match &app.door {
        Door::Open(_) => router.route("/add", post(add::route)),
        Door::Roles(_) => router
            .route("/manifest/{root}", put(manifest::store).get(manifest::read))
            .route("/entries", post(entries::route))
            .route("/entries/batch", post(batch::submit))
            .route("/lookup", post(lookup::lookup)),
    };
    let count = middleware::from_fn_with_state(app.clone(), count);
    router.fallback(reads::nothing).layer(count).with_state(app)
}

/// What answers on a connection: the routes that most entries take are called directly, the router has the others.
#[derive(Clone)]
pub struct Front {
    app: Arc<App>,
    router: Router,
}

impl Front {
    /// All routes over one log.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        Self { router: router(app.clone()), app }
    }
}

impl hyper::service::Service<hyper::Request<hyper::body::Incoming>> for Front {
    type Response = Response;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Self::Error>> + Send>>;

    fn call(&self, request: hyper::Request<hyper::body::Incoming>) -> Self::Future {
        let chosen = telemetry::request(request.method(), request.uri().path());
        let app = self.app.clone();
        // A small body needs no draining, and then nothing stands between it and its reader.
        let answer: Self::Future = match (&app.door, request.method(), request.uri().path()) {
            (Door::Open(_), &Method::POST, "/add") if linger::is_small(&request) => {
                Box::pin(async move { Ok(counted(&app, add::add(&app, request).await)) })
            }
            (Door::Roles(_), &Method::POST, "/entries") if linger::is_small(&request) => {
                Box::pin(async move { Ok(counted(&app, entries::submit(&app, request).await)) })
            }
            _ => Box::pin(self.router.clone().oneshot(request.map(Body::new))),
        };
        let Some(chosen) = chosen else { return answer };
        Box::pin(async move {
            let answer = answer.await;
            chosen.answered(answer.as_ref().map_or(500, |response| response.status().as_u16()));
            answer
        })
    }
}

fn counted(app: &App, answer: Result<Response, Problem>) -> Response {
    let mut response = answer.into_response();
    // Whatever a log says, its refusals included, any web page may read.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    app.metrics.answered(response.status().as_u16());
    response
}

async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    counted(&app, Ok(next.run(linger::drained(request)).await))
}
