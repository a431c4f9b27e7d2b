//! How many connections each worker of a port has.
//!
//! Owns which worker gets the next one: the one that has the fewest. So the connections of a few clients are spread as
//! evenly as those of many, and no worker waits while others have more. Must not know what a connection is.

use std::sync::Arc;

use super::memory::{PortMemory, WorkerMemory};

/// The loads of all workers of one port.
#[derive(Debug)]
pub(super) struct WorkerLoads {
    workers: Vec<Load>,
    /// Of those that have equally few, the one from here on.
    turn: usize,
}

#[derive(Debug)]
struct Load {
    connections: usize,
    memory: Arc<WorkerMemory>,
}

impl WorkerLoads {
    pub(super) fn new(workers: usize, memory: &Arc<PortMemory>) -> Self {
        let idle = |_| Load { connections: 0, memory: WorkerMemory::of(memory.clone()) };
        Self { workers: (0..workers).map(idle).collect(), turn: 0 }
    }

    /// Counts one connection more: the number of its worker, and the account of that.
    pub(super) fn join(&mut self) -> Option<(usize, Arc<WorkerMemory>)> {
        let count = self.workers.len();
        let in_turn = (self.turn..self.turn + count).map(|at| at % count);
        let worker = in_turn.min_by_key(|at| self.workers[*at].connections)?;
        self.turn = (worker + 1) % count;
        let load = self.workers.get_mut(worker)?;
        load.connections += 1;
        Some((worker, load.memory.clone()))
    }

    /// Counts one connection of this worker less.
    pub(super) fn leave(&mut self, worker: usize) {
        if let Some(load) = self.workers.get_mut(worker) {
            load.connections -= 1;
        }
    }

    /// The connections of all workers.
    pub(super) fn total(&self) -> usize {
        self.workers.iter().map(|worker| worker.connections).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(workers: usize) -> WorkerLoads {
        WorkerLoads::new(workers, &PortMemory::of(1 << 20))
    }

    fn counts(loads: &WorkerLoads) -> Vec<usize> {
        loads.workers.iter().map(|worker| worker.connections).collect()
    }

    #[test]
    fn few_connections_are_spread_like_many() {
        for (workers, connections) in [(1, 8), (2, 8), (2, 64), (2, 1_000), (3, 8), (16, 64), (16, 1_000)] {
            let mut loads = loads(workers);
            for _ in 0..connections {
                loads.join().unwrap();
            }
            let (least, most) = (connections / workers, connections.div_ceil(workers));
            assert!(counts(&loads).iter().all(|count| (least..=most).contains(count)), "{loads:?}");
            assert_eq!(loads.total(), connections);
        }
    }

    #[test]
    fn whoever_lost_connections_gets_the_next_ones() {
        let mut loads = loads(4);
        for _ in 0..400 {
            loads.join().unwrap();
        }
        for _ in 0..90 {
            loads.leave(2);
        }
        for _ in 0..90 {
            assert_eq!(loads.join().unwrap().0, 2);
        }
        assert_eq!(counts(&loads), [100; 4]);
    }

    #[test]
    fn connections_that_come_one_at_a_time_go_to_all_in_turn() {
        let mut loads = loads(3);
        let workers = [(); 6].map(|()| {
            let (worker, _) = loads.join().unwrap();
            loads.leave(worker);
            worker
        });
        assert_eq!(workers, [0, 1, 2, 0, 1, 2]);
    }
}
