//! The writer thread. No other thread writes events.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rusqlite::{Connection, TransactionBehavior};

use super::{
    Appended, Checkpointer, LogError, Shared,
    chain::{self, Link},
    checkpoint,
    file::{self, Opened},
    ids::{self, Ids, Key},
    queue::{Next, Waiting, Work},
    upkeep::Upkeep,
    witness::{Told, Witness},
};
use crate::{
    event::{Event, Seq},
    log::placed,
};

/// Minimum time between two attempts to open the file after a failure. Appends in between get the last error again, so
/// that frequent retries do not make an outage worse.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Approximate number of bytes that an event writes to the WAL without its body, and that a transaction writes: pages
/// that are not full, and their parent.
const WAL_BYTES_EVENT: usize = 256;
const WAL_BYTES_TRANSACTION: usize = 2 * file::PAGE_BYTES;

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// `None` after a failure, until the file has been opened again and checked.
    connection: Option<Connection>,
    last: Seq,
    /// The hash at `last`, if this is a copy.
    link: Option<Link>,
    witness: Witness,
    ids: Ids,
    upkeep: Upkeep,
    checkpointer: Checkpointer,
    outage: Option<Outage>,
}

/// The time from the first failure to the next durable append.
struct Outage {
    since: Instant,
    refused: u64,
    cause: LogError,
    tried: Instant,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, opened: Opened, checkpointer: Checkpointer) -> Writer {
        Writer {
            last: opened.tail.last,
            link: opened.link,
            upkeep: Upkeep::new(shared.clone(), opened.running, opened.swept),
            witness: opened.witness,
            ids: opened.ids,
            connection: Some(opened.connection),
            shared,
            checkpointer,
            outage: None,
        }
    }

    pub fn run(mut self) {
        loop {
            match self.shared.queue.next(self.upkeep.due_in()) {
                Next::Batch(batch) => self.append(batch),
                Next::Poked => self.upkeep.hurry(),
                Next::Idle => {}
                Next::Closed => break,
            }
            self.upkeep();
            self.restart_wal();
        }
        self.checkpointer.stop();
        let finished = self.connection.as_mut().map(|connection| {
            self.upkeep.mark_now(connection, self.last)?;
            file::checkpoint(connection, "TRUNCATE")
        });
        if let Some(Err(cause)) = finished {
            // No event is lost: the WAL stays, and the next start runs the checkpoint.
            tracing::warn!(%cause, "the log was closed without a checkpoint; the next start makes one");
        }
    }

    fn append(&mut self, batch: Vec<Waiting>) {
        let stored = self.ready().and_then(|()| self.store(&batch));
        match stored {
            Ok((answers, events)) => {
                let bytes: usize = events.iter().map(|event| event.body.len() + WAL_BYTES_EVENT).sum();
                if !events.is_empty() {
                    self.shared.publish(events, self.last);
                }
                for (waiting, answer) in batch.into_iter().zip(answers) {
                    // Fails if the caller no longer waits. Its events are stored.
                    let _ = waiting.answer.send(Ok(answer));
                }
                self.recovered();
                self.checkpointer.wrote(bytes + WAL_BYTES_TRANSACTION);
            }
            Err(cause) => {
                self.failed(cause.clone(), batch.len() as u64);
                for waiting in batch {
                    let _ = waiting.answer.send(Err(cause.clone()));
                }
            }
        }
    }

    /// Stores a batch in one transaction. Seqs of a log that is not a copy are assigned here, after the newest durable
    /// one, so a failed transaction does not leave a gap.
    fn store(&mut self, batch: &[Waiting]) -> Result<(Vec<Vec<Appended>>, Vec<Event>), LogError> {
        let connection = self.connection.as_mut().ok_or(LogError::Closed)?;
        let ids = &mut self.ids;
        let (mut last, mut link) = (self.last, self.link);
        let mut last_key = None;
        let mut events = Vec::new();
        let mut store = || {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut answers = Vec::with_capacity(batch.len());
            let (mut find, mut insert) = (Ids::prepare_find(&tx)?, file::prepare_insert(&tx)?);
            for waiting in batch {
                let mut answer = Vec::with_capacity(waiting.events.len());
                for (nth, event) in (0..).zip(&waiting.events) {
                    let key = ids::key(event);
                    let known = match waiting.work {
                        Work::Append => ids.find(&mut find, &key)?,
                        Work::Copy(first) if Seq(first.0 + nth) > last.next() => {
                            return Err(file::damaged(0, "a copy has a gap"));
                        }
                        Work::Copy(first) => Some(Seq(first.0 + nth)).filter(|seq| *seq <= last),
                        Work::Find => Some(ids.find(&mut find, &key)?.unwrap_or(Seq::ZERO)),
                    };
                    if known.is_none() {
                        last = last.next();
                        file::insert(&mut insert, &key, event, last)?;
                        last_key = Some(key);
                        ids.add(key, last);
                        link = link.map(|link| chain::add(&tx, link, &key)).transpose()?;
                        events.push(placed(event, last));
                    }
                    answer.push(Appended { seq: known.unwrap_or(last), duplicate: known.is_some() });
                }
                answers.push(answer);
            }
            drop((find, insert));
            tx.commit()?;
            Ok(answers)
        };
        let answers = store().map_err(file::failure)?;
        (self.last, self.link) = (last, link);
        if let Some(key) = last_key {
            self.witness(key);
        }
        Ok((answers, events))
    }

    /// Opens the file again if something has failed.
    fn ready(&mut self) -> Result<(), LogError> {
        let suspect = self.shared.suspect.lock().take();
        if let Some(cause) = suspect {
            self.failed(cause, 0);
        } else if let Some(outage) = &self.outage
            && self.connection.is_none()
            && outage.tried.elapsed() < RETRY_AFTER
        {
            return Err(outage.cause.clone());
        }
        if self.connection.is_some() {
            return Ok(());
        }
        // Every connection is closed before the file is opened again, so that SQLite rebuilds its index of the WAL from
        // the frames with valid checksums.
        let gate = self.shared.readers.shut();
        let (connection, tail) = file::reopen(&self.shared.path, self.shared.options.vfs.as_deref())?;
        if tail.last < self.last {
            return Err(self.lost(&connection, tail.last));
        }
        if self.link.is_some() {
            file::sync_less(&connection).map_err(file::failure)?;
            self.link = chain::at(&connection, tail.last).map_err(file::failure)?;
        }
        drop(gate);
        self.ids = Ids::load(&connection).map_err(file::failure)?;
        if tail.last > self.last {
            // An append that was answered with an error has been stored. It is durable now, and its retry finds its
            // duplicate.
            self.last = tail.last;
            if let Some(key) = file::key_at(&connection, tail.last).map_err(file::failure)? {
                self.witness(key);
            }
            self.shared.tail.clear();
            self.shared.publish(Vec::new(), tail.last);
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Notes the newest event, before readers are told of it.
    fn witness(&self, key: Key) {
        let told = Told { epoch: self.shared.epoch, seq: self.last, key };
        if let Err(cause) = self.witness.write(told) {
            // An older note still finds most losses.
            tracing::debug!(%cause, "log.witness cannot be written");
        }
    }

    /// Handles that the disk has lost durable events. New appends would assign their seqs to other events, while readers
    /// still have cursors of the lost ones. Only a new epoch may do that.
    fn lost(&self, connection: &Connection, last: Seq) -> LogError {
        if !self.shared.lost.swap(true, Ordering::AcqRel) {
            // A copy continues where it ends now.
            let forgotten = if self.link.is_some() { Ok(()) } else { file::forget_epoch(connection) };
            tracing::error!(
                log.last = last.0,
                log.acknowledged = self.last.0,
                epoch.forgotten = forgotten.is_ok(),
                "the disk lost events that it had confirmed. Check the disk and restart Roomwatch, which begins a new epoch if they are lost for good"
            );
        }
        LogError::Failed(format!("the disk lost events after {last}").into())
    }

    fn failed(&mut self, cause: LogError, refused: u64) {
        // This connection is not used again: after a failed fsync, only reading the file again shows its real content.
        self.connection = None;
        if let LogError::Damaged(_) = cause {
            self.shared.options.damage.found("log.db", &cause);
        }
        let now = Instant::now();
        match &mut self.outage {
            Some(outage) => {
                outage.refused += refused;
                if now.duration_since(outage.tried) >= RETRY_AFTER {
                    outage.tried = now;
                    outage.cause = cause;
                }
            }
            None => {
                let hint = match cause {
                    LogError::Full => "Free space on the disk of the data directory",
                    _ => "Check the disk and the permissions of the data directory",
                };
                tracing::error!(
                    log.path = %self.shared.path.display(),
                    %cause,
                    "the log cannot be written, and webhooks wait 5 s and are then answered 503. {hint}. Roomwatch retries by itself"
                );
                self.outage = Some(Outage { since: now, refused, cause, tried: now });
            }
        }
    }

    fn recovered(&mut self) {
        if let Some(outage) = self.outage.take() {
            tracing::warn!(
                outage.secs = outage.since.elapsed().as_secs(),
                outage.refused = outage.refused,
                "the log can be written again; reconciliation finds the events that LiveKit gave up on"
            );
        }
    }

    fn restart_wal(&mut self) {
        if self.shared.wal_full.swap(false, Ordering::AcqRel)
            && let Some(connection) = &self.connection
            && let Err(cause) = checkpoint::restart(connection)
        {
            self.failed(file::failure(cause), 0);
        }
    }

    fn upkeep(&mut self) {
        let Some(connection) = &mut self.connection else { return self.upkeep.postpone() };
        match self.upkeep.step(connection, &mut self.ids, self.last) {
            Ok(bytes) => self.checkpointer.wrote(bytes),
            Err(cause) => self.failed(file::failure(cause), 0),
        }
    }
}
