//! Whether a request went over a connection that was there before it.
//!
//! A connection in the pool may be dead without anybody having been told. The client does not say which one it takes,
//! but it dials while the request that finds none is polled, on the thread that polls it: for whom somebody dialled,
//! used a fresh one. Owns that note. Must not know what follows from it, nor any HTTP library.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};

use tower_layer::{Layer, layer_fn};
use tower_service::Service;

/// The requests that are being polled at this moment, one a thread at most, and whether somebody dialled for each.
#[derive(Debug, Clone, Default)]
pub(super) struct Dials(Arc<Mutex<HashMap<ThreadId, Arc<AtomicBool>>>>);

/// One poll of a request.
struct Polling<'a>(&'a Dials);

/// A connector that notes for whom it dials.
#[derive(Debug, Clone)]
pub(super) struct Noting<S> {
    connector: S,
    dials: Dials,
}

impl Dials {
    /// What `request` comes to, and whether somebody dialled for it.
    pub(super) async fn noted<F: Future>(&self, request: F) -> (F::Output, bool) {
        let dialled = Arc::new(AtomicBool::new(false));
        let mut request = pin!(request);
        let output = poll_fn(|context| {
            self.polled().insert(thread::current().id(), Arc::clone(&dialled));
            let _polling = Polling(self);
            request.as_mut().poll(context)
        });
        (output.await, dialled.load(Ordering::Relaxed))
    }

    /// Makes a client's connector one that notes.
    pub(super) fn layer<S>(&self) -> impl Layer<S, Service = Noting<S>> + Clone + Send + Sync + 'static {
        let dials = self.clone();
        layer_fn(move |connector| Noting { connector, dials: dials.clone() })
    }

    fn polled(&self) -> MutexGuard<'_, HashMap<ThreadId, Arc<AtomicBool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.polled().remove(&thread::current().id());
    }
}

impl<S: Service<R>, R> Service<R> for Noting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        if let Some(dialled) = self.dials.polled().get(&thread::current().id()) {
            dialled.store(true, Ordering::Relaxed);
        }
        self.connector.call(request)
    }
}
