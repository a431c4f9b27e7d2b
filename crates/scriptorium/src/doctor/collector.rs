//! The collector that is sent the spans of requests: the way there, and whether it takes them.
//!
//! Owns these checks. Must not know how spans are sent.

use super::{Diagnosis, hosts};
use crate::config::{self, Egress, Telemetry, address::Listeners};
use crate::spans::Collector;
use crate::upstream::{ConnectTarget, HttpTransport};

const CHECK: &str = "collector";

pub(super) async fn examine(telemetry: &Telemetry, listeners: Listeners) -> Option<Diagnosis> {
    let url = telemetry.otlp.as_ref()?;
    let about = url.authority().to_owned();
    // The cause of a failure is known of our own connection only. Spans go past every proxy.
    let egress = Egress { ca_file: telemetry.ca_file.clone(), ..Egress::default() };
    let way = config::Upstream { egress, ..config::Upstream::new(CHECK, url.clone()) };
    let transport = match HttpTransport::new(&way, listeners) {
        Ok(transport) => transport,
        Err(error) => return Some(Diagnosis::bad(CHECK, about, format!("telemetry.ca_file: {error}"))),
    };
    if let Err((why, causes)) = transport.reach(url).await {
        return Some(hosts::unreached(CHECK, about, ConnectTarget::Collector, why, &causes));
    }
    Some(match Collector::prove(telemetry).await {
        Ok(()) => Diagnosis::good(CHECK, about, "takes spans"),
        Err(why) => Diagnosis::bad(CHECK, about, format!("takes connections and no spans: {why}"))
            .advise("name the port of OTLP over gRPC in telemetry.otlp, usually 4317"),
    })
}
