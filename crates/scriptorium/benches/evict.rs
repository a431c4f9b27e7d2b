//! The hit ratios of the store's eviction, compared with LRU, with an LRU that weighs sizes, and with moka's TinyLFU; and
//! the cost of a use. The traces are generated from fixed seeds. An exceeded ceiling is enforced at once. Requests of a
//! scan count in no ratio.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::time::{Duration, Instant};

use fastrand::Rng;
use scriptorium::facade::Eviction;

const OBJECTS: usize = 20_000;
const REQUESTS: usize = 300_000;
/// After every so many requests, a scan requests `SCAN` objects that are never requested again.
const SCAN_EVERY: usize = 25_000;
const SCAN: usize = 5_000;
/// After every so many requests, a new object becomes the most popular, and all others fall by a rank.
const DRIFT_EVERY: usize = 100;
const SMALLEST: f64 = 2.0 * 1024.0;
const LARGEST: f64 = 64.0 * 1024.0 * 1024.0;

struct Request {
    object: usize,
    scan: bool,
}

/// Which object each request is for.
fn trace(exponent: f64, scans: bool, drift: bool, repeats: bool) -> Vec<Request> {
    let mut rng = Rng::with_seed(7);
    let mut sum = 0.0;
    let cumulated: Vec<f64> = (1..=OBJECTS)
        .map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        })
        .collect();
    let mut requests = Vec::with_capacity(REQUESTS * 2);
    let mut never_asked_for = OBJECTS..;
    for number in 0..REQUESTS {
        if scans && number % SCAN_EVERY == SCAN_EVERY - 1 {
            requests.extend(never_asked_for.by_ref().take(SCAN).map(|object| Request { object, scan: true }));
        }
        let drawn = rng.f64() * sum;
        let rank = cumulated.partition_point(|up_to| *up_to < drawn).min(OBJECTS - 1);
        let fallen = if drift { number / DRIFT_EVERY } else { 0 };
        let mut object = (OBJECTS + rank - fallen % OBJECTS) % OBJECTS;
        if repeats && requests.len() > 3_000 && rng.f64() < 0.4 {
            object = requests[requests.len() - 1 - rng.usize(..3_000)].object;
        }
        requests.push(Request { object, scan: false });
    }
    requests
}

/// Log-normal: half of all objects are under 360 KiB and hold a thirtieth of the bytes.
fn sizes() -> Vec<u64> {
    let mut rng = Rng::with_seed(11);
    let (low, high) = (SMALLEST.ln(), LARGEST.ln());
    let mut normal = || {
        let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * rng.f64()).cos()
    };
    std::iter::repeat_with(|| f64::midpoint(low, high) + normal() * (high - low) / 5.0)
        .filter(|size| (low..high).contains(size))
        .map(|size| size.exp() as u64)
        .take(OBJECTS + REQUESTS / SCAN_EVERY * SCAN)
        .collect()
}

/// A use of an object of a size: whether it was stored. It is stored afterwards, unless it was evicted at once.
trait Policy {
    fn hit(&mut self, object: usize, size: u64) -> bool;
}

struct Lru {
    most: u64,
    bytes: u64,
    clock: u64,
    used: HashMap<usize, (u64, u64)>,
    by_use: BTreeMap<u64, usize>,
}

impl Policy for Lru {
    fn hit(&mut self, object: usize, size: u64) -> bool {
        self.clock += 1;
        let before = self.used.insert(object, (self.clock, size));
        self.by_use.insert(self.clock, object);
        match before {
            Some((used, _)) => drop(self.by_use.remove(&used)),
            None => self.bytes += size,
        }
        while self.bytes > self.most {
            let (_, oldest) = self.by_use.pop_first().unwrap();
            self.bytes -= self.used.remove(&oldest).unwrap().1;
        }
        before.is_some()
    }
}

/// GreedyDual-Size: an LRU in which a value ages by what its next miss costs, a request of 1 MiB and its bytes, for each
/// byte that it takes.
#[derive(Default)]
struct SizeLru {
    most: u64,
    bytes: u64,
    clock: u64,
    /// The priority of what was evicted last.
    floor: f64,
    values: HashMap<usize, (Priority, u64)>,
    by_priority: BTreeMap<Priority, usize>,
}

/// The bits of a positive number, which order as it does, and the time of the use.
type Priority = (u64, u64);

impl Policy for SizeLru {
    fn hit(&mut self, object: usize, size: u64) -> bool {
        self.clock += 1;
        let worth = (f64::from(1 << 20) + size as f64) / size as f64;
        let priority = ((self.floor + worth).to_bits(), self.clock);
        let before = self.values.insert(object, (priority, size));
        self.by_priority.insert(priority, object);
        match before {
            Some((priority, _)) => drop(self.by_priority.remove(&priority)),
            None => self.bytes += size,
        }
        while self.bytes > self.most {
            let ((floor, _), least) = self.by_priority.pop_first().unwrap();
            self.floor = f64::from_bits(floor);
            self.bytes -= self.values.remove(&least).unwrap().1;
        }
        before.is_some()
    }
}

struct Moka(moka::sync::Cache<usize, u32>);

impl Policy for Moka {
    fn hit(&mut self, object: usize, size: u64) -> bool {
        let hit = self.0.get(&object).is_some();
        if !hit {
            self.0.insert(object, u32::try_from(size / 1024).unwrap());
            self.0.run_pending_tasks();
        }
        hit
    }
}

impl Policy for Eviction {
    fn hit(&mut self, object: usize, size: u64) -> bool {
        Self::hit(self, object, size)
    }
}

/// Hits, and bytes of hits, in percent.
fn ratios(policy: &mut dyn Policy, trace: &[Request], sizes: &[u64]) -> String {
    let (mut requests, mut bytes, mut hits, mut hit_bytes) = (0, 0, 0, 0);
    for Request { object, scan } in trace {
        let hit = policy.hit(*object, sizes[*object]);
        if !scan {
            requests += 1;
            bytes += sizes[*object];
            hits += u64::from(hit);
            hit_bytes += u64::from(hit) * sizes[*object];
        }
    }
    let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole as f64;
    format!("{:5.1} /{:5.1}", percent(hits, requests), percent(hit_bytes, bytes))
}

fn each(count: usize, mut work: impl FnMut(usize)) -> Duration {
    let mut rounds: Vec<_> = (0..11)
        .map(|_| {
            let started = Instant::now();
            (0..count).for_each(&mut work);
            started.elapsed() / u32::try_from(count).unwrap()
        })
        .collect();
    rounds.sort_unstable();
    rounds[5]
}

fn costs(values: usize, sizes: &[u64]) {
    let mut rng = Rng::with_seed(3);
    let order: Vec<usize> = (0..50_000).map(|_| rng.usize(..values)).collect();
    let mut eviction = Eviction::new(values, u64::MAX);
    let cache = moka::sync::Cache::builder().max_capacity(u64::MAX).weigher(|_, kib: &u32| *kib).build();
    for object in 0..values {
        eviction.hit(object, sizes[object % sizes.len()]);
        cache.insert(object, 1);
    }
    let get = each(order.len(), |turn| {
        black_box(cache.get(&order[turn]));
    });
    let touch = each(order.len(), |turn| eviction.touch(order[turn]));
    let hold = each(order.len(), |turn| eviction.hold_and_release(order[turn]));
    let evict = each(2_000, |_| eviction.evict_and_store());
    println!("{values:>8}{get:>12.2?}{touch:>12.2?}{hold:>16.2?}{evict:>24.2?}");
}

fn main() {
    let sizes = sizes();
    let all: u64 = sizes[..OBJECTS].iter().sum();
    let mut traces = Vec::new();
    for exponent in [0.7, 0.9, 1.1] {
        traces.push((format!("Zipf {exponent}"), trace(exponent, false, false, false)));
        traces.push((format!("Zipf {exponent}, scans"), trace(exponent, true, false, false)));
    }
    traces.push(("Zipf 0.9, drift".to_owned(), trace(0.9, false, true, false)));
    traces.push(("Zipf 0.9, drift, scans, repeats".to_owned(), trace(0.9, true, true, true)));
    println!("hits / bytes of hits, in percent");
    println!("{:>4} {:<32}{:>14}{:>14}{:>14}{:>14}", "room", "trace", "LRU", "size LRU", "moka", "ours");
    for percent in [1, 5, 20] {
        let most = all * percent / 100;
        for (name, trace) in &traces {
            let mut lru =
                Lru { most, bytes: 0, clock: 0, used: HashMap::default(), by_use: BTreeMap::default() };
            let lru = ratios(&mut lru, trace, &sizes);
            let size_lru = ratios(&mut SizeLru { most, ..SizeLru::default() }, trace, &sizes);
            let moka = moka::sync::Cache::builder().max_capacity(most / 1024).weigher(|_, kib| *kib).build();
            let moka = ratios(&mut Moka(moka), trace, &sizes);
            let ours = ratios(&mut Eviction::new(sizes.len(), most), trace, &sizes);
            println!("{percent:>3}% {name:<32}{lru:>14}{size_lru:>14}{moka:>14}{ours:>14}");
        }
    }
    println!(
        "\n{:>8}{:>12}{:>12}{:>16}{:>24}",
        "values", "moka get", "touch", "hold, release", "evict, insert"
    );
    [20_000, 300_000].into_iter().for_each(|values| costs(values, &sizes));
}
