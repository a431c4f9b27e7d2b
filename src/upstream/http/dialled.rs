//! Whether a request went over a connection that was there before it.
//!
//! A connection in the pool may be dead without anybody having been told. The client does not say which one it takes,
//! but it dials in the task of the request that finds none: who dialled, used a fresh one. Owns that note. Must not know
//! what follows from it, nor any HTTP library.

use std::cell::Cell;
use std::future::Future;
use std::task::{Context, Poll};

use tower_layer::{LayerFn, layer_fn};
use tower_service::Service;

tokio::task_local! {
    static DIALLED: Cell<bool>;
}

/// What `request` comes to, and whether it dialled.
pub(super) async fn noted<F: Future>(request: F) -> (F::Output, bool) {
    let noted = async {
        let output = request.await;
        (output, DIALLED.with(Cell::get))
    };
    DIALLED.scope(Cell::new(false), noted).await
}

/// A connector that notes for whom it dials.
#[derive(Debug, Clone)]
pub(super) struct Noting<S>(S);

/// Makes a client's connector one that notes.
pub(super) fn noting<S>() -> LayerFn<fn(S) -> Noting<S>> {
    layer_fn(Noting)
}

impl<S: Service<R>, R> Service<R> for Noting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // Nobody waits for what is dialled outside a request.
        let _ = DIALLED.try_with(|dialled| dialled.set(true));
        self.0.call(request)
    }
}
