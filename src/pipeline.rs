//! Work on several threads, results in order, a bounded number of jobs at a time.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::{Error, Result};

/// Workers that turn jobs into results; results come out in the order in which jobs went in.
pub(crate) struct Pipeline<J, R> {
    jobs: Option<SyncSender<(u64, J)>>,
    results: Receiver<(u64, R)>,
    early: BTreeMap<u64, R>,
    pushed: u64,
    popped: u64,
    room: u64,
    workers: Vec<JoinHandle<()>>,
}

/// Buffers that go round: who is done with one gives it back, and the next block is spared fresh memory
/// from the system, page by page.
#[derive(Debug)]
pub(crate) struct Pool<B = Vec<u8>>(Arc<Mutex<Vec<B>>>);

impl<B> Default for Pool<B> {
    fn default() -> Self {
        Pool(Arc::default())
    }
}

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Self {
        Pool(Arc::clone(&self.0))
    }
}

impl<B: Default> Pool<B> {
    /// A buffer with whatever was left in it, or an empty one.
    pub(crate) fn take(&self) -> B {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.pop().unwrap_or_default()
    }

    /// Keeps a buffer for who takes the next one.
    pub(crate) fn give(&self, buffer: B) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(buffer);
    }

    /// Buffers that nobody has.
    #[cfg(test)]
    pub(crate) fn spare(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// As many threads as the machine has cores for this process.
pub(crate) fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

impl<J: Send + 'static, R: Send + 'static> Pipeline<J, R> {
    /// Starts `threads` workers, each with its own state made by `make`.
    pub(crate) fn new<W>(threads: usize, mut make: impl FnMut() -> Result<W>) -> Result<Self>
    where
        W: FnMut(J) -> R + Send + 'static,
    {
        let threads = threads.max(1);
        // One job waits for each worker, so that none is idle while results are written.
        let room = threads * 2;
        let (jobs, next_job) = sync_channel::<(u64, J)>(room);
        let (result, results) = sync_channel(room);
        let next_job = Arc::new(Mutex::new(next_job));
        let workers = (0..threads)
            .map(|_| {
                let mut work = make()?;
                let next_job = Arc::clone(&next_job);
                let result = result.clone();
                Ok(std::thread::spawn(move || {
                    loop {
                        let job = next_job
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .recv();
                        let Ok((number, job)) = job else { break };
                        if result.send((number, work(job))).is_err() {
                            break;
                        }
                    }
                }))
            })
            .collect::<Result<_>>()?;
        Ok(Pipeline {
            jobs: Some(jobs),
            results,
            early: BTreeMap::new(),
            pushed: 0,
            popped: 0,
            room: room as u64,
            workers,
        })
    }

    /// Whether a result must be taken before the next job goes in.
    pub(crate) fn is_full(&self) -> bool {
        self.pushed - self.popped >= self.room
    }

    /// Hands a job to the workers. Call it only while the pipeline is not full.
    pub(crate) fn push(&mut self, job: J) -> Result<()> {
        let sent = self
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.send((self.pushed, job)).is_ok());
        if !sent {
            return Err(dead());
        }
        self.pushed += 1;
        Ok(())
    }

    /// The next result in order, waited for; `None` when no job is under way.
    pub(crate) fn pop(&mut self) -> Result<Option<R>> {
        if self.pushed == self.popped {
            return Ok(None);
        }
        loop {
            if let Some(result) = self.early.remove(&self.popped) {
                self.popped += 1;
                return Ok(Some(result));
            }
            let (number, result) = self.results.recv().map_err(|_| dead())?;
            self.early.insert(number, result);
        }
    }
}

impl<J, R> Drop for Pipeline<J, R> {
    fn drop(&mut self) {
        self.jobs = None;
        // Workers that are blocked on a full queue see it close once its results are drained.
        while self.results.recv().is_ok() {}
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

fn dead() -> Error {
    Error::Misuse("a worker thread has died".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order() {
        let mut pipeline = Pipeline::new(3, || Ok(|job: u64| job * job)).unwrap();
        let (mut out, mut next) = (Vec::new(), 0);
        while out.len() < 100 {
            while next < 100 && !pipeline.is_full() {
                pipeline.push(next).unwrap();
                next += 1;
            }
            out.extend(pipeline.pop().unwrap());
        }
        assert_eq!(out, (0..100).map(|i| i * i).collect::<Vec<u64>>());
        assert!(pipeline.pop().unwrap().is_none());
    }
}
