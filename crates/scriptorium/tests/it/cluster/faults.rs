//! An engine that answers and will not do what it is asked, or not in time: whoever looks is told why, and no request fails for it.

use super::{Cluster, wait_for};
use crate::support::redis::Redis;
use crate::support::{Release, eventually};

/// What becomes of an engine, how that ends, and what the status says meanwhile.
struct Fault {
    begin: fn(&Redis),
    end: fn(&Redis),
    told: &'static str,
}

fn told(redis: &Redis, words: &str) {
    let answer = redis.command(words);
    assert!(answer.starts_with(['+', ':']), "{words}: {answer}");
}

const FAULTS: [Fault; 6] = [
    Fault {
        begin: |redis| told(redis, "CONFIG SET maxmemory 1"),
        end: |redis| told(redis, "CONFIG SET maxmemory 0"),
        told: "the engine is full; raise its maxmemory",
    },
    Fault {
        begin: |redis| told(redis, "REPLICAOF 127.0.0.1 1"),
        end: |redis| told(redis, "REPLICAOF NO ONE"),
        told: "the engine refuses writes; point cluster.url at the primary",
    },
    Fault {
        begin: |redis| {
            told(redis, "DEL scriptorium:nodes");
            told(redis, "SET scriptorium:nodes text");
        },
        end: |redis| told(redis, "DEL scriptorium:nodes"),
        told: "a key that begins with cluster.prefix has another type",
    },
    Fault {
        begin: |redis| told(redis, "ACL SETUSER default -zadd"),
        end: |redis| told(redis, "ACL SETUSER default +zadd"),
        told: "the engine's user may not use",
    },
    Fault {
        begin: |redis| told(redis, "CONFIG SET requirepass secret"),
        end: |redis| drop(redis.command("AUTH secret\r\nCONFIG SET requirepass \"\"")),
        told: "the engine refuses the password; check the variable that cluster.password_env names",
    },
    Fault {
        begin: |redis| redis.signal("STOP"),
        end: |redis| redis.signal("CONT"),
        told: "the engine did not answer within 500 ms",
    },
];

#[test]
fn whatever_the_engine_says_instead_of_an_answer_is_told_and_fails_no_request() {
    let Some(cluster) = Cluster::of(2) else { return };
    let (held, proxy) = (Release::new("held", "1.0.0"), &cluster.proxies[0]);
    cluster.upstream.publish(&held);
    proxy.client().get(&held.download()).ok();
    for (number, fault) in FAULTS.iter().enumerate() {
        (fault.begin)(&cluster.redis);
        // A connection that was let in stays so.
        if fault.told.contains("password") {
            cluster.redis.command("AUTH secret\r\nCLIENT KILL TYPE normal SKIPME yes");
        }
        let cold = [1, 2].map(|part| Release::new(&format!("cold-{number}-{part}"), "1.0.0"));
        cold.iter().for_each(|release| cluster.upstream.publish(release));
        let serves = |cold: &Release| {
            for release in [&held, cold] {
                [release.index(), release.exact(), release.download()]
                    .iter()
                    .for_each(|target| drop(proxy.client().get(target).ok()));
            }
        };
        serves(&cold[0]);
        eventually(fault.told, || {
            let cluster = proxy.admin().get("/admin/v1/status").ok().json()["cluster"].clone();
            let cause = cluster["cause"].as_str().unwrap_or_default();
            (cluster["state"] == "alone" && cause.contains(fault.told)).then_some(())
        });
        let page = proxy.admin().get("/").ok().text();
        assert!(page.contains("The engine of the cluster is away"), "{page}");
        serves(&cold[1]);
        (fault.end)(&cluster.redis);
        wait_for(proxy, "together", 2);
        let status = proxy.admin().get("/admin/v1/status").ok().json();
        assert!(status["cluster"].get("cause").is_none(), "{}", status["cluster"]);
    }
}
