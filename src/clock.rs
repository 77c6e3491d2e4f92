//! The time: the only reader of the wall clock and of the monotonic clock in the program's logic.
//!
//! A node has one [`Clock`] and gives it to whatever needs the time. Tests hold a clock and move it: a day passes at
//! once, and a wall clock jumps while time itself goes on.

use std::{
    fmt,
    future::Future,
    sync::{Arc, LazyLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::sync::watch;

/// The time of one node. Clones show the same time.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System,
    Held { wall: Mutex<u64>, running: watch::Sender<Duration> },
}

/// The monotonic time of the process counts from here.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock {
    /// Returns the clock of the machine.
    pub fn system() -> Clock {
        Clock(Arc::new(Source::System))
    }

    /// Returns a clock that stands still at `unix_ms` until a test moves it.
    pub fn held(unix_ms: u64) -> Clock {
        Clock(Arc::new(Source::Held {
            wall: Mutex::new(unix_ms),
            running: watch::Sender::new(Duration::ZERO),
        }))
    }

    /// Returns the wall clock in unix milliseconds. It may jump, forwards and backwards.
    pub fn unix_ms(&self) -> u64 {
        match &*self.0 {
            Source::System => unix_ms(),
            Source::Held { wall, .. } => *wall.lock(),
        }
    }

    /// Returns the wall clock in unix seconds, as tokens carry it.
    pub fn unix_secs(&self) -> i64 {
        i64::try_from(self.unix_ms() / 1000).unwrap_or(i64::MAX)
    }

    /// Returns the time since a fixed moment of this process. It never goes back, whatever the wall clock does.
    pub fn running(&self) -> Duration {
        match &*self.0 {
            Source::System => BEGAN.elapsed(),
            Source::Held { running, .. } => *running.borrow(),
        }
    }

    /// Waits for `time` to pass on this clock.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + use<> {
        let clock = self.clone();
        let until = self.running() + time;
        async move {
            match &*clock.0 {
                Source::System => tokio::time::sleep(time).await,
                Source::Held { running, .. } => {
                    let mut running = running.subscribe();
                    // The sender lives as long as `clock`, so this ends only when the time has come.
                    let _ = running.wait_for(|now| *now >= until).await;
                }
            }
        }
    }

    /// Moves a held clock: the wall clock and the monotonic clock go on by `time`. A system clock cannot be moved.
    pub fn advance(&self, time: Duration) {
        if let Source::Held { wall, running } = &*self.0 {
            *wall.lock() += u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            running.send_modify(|running| *running += time);
        }
    }

    /// Sets the wall clock of a held clock, as an operator or NTP would, while the monotonic clock stands still. A
    /// system clock cannot be set.
    pub fn set_wall(&self, unix_ms: u64) {
        if let Source::Held { wall, .. } = &*self.0 {
            *wall.lock() = unix_ms;
        }
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Source::System => f.write_str("Clock::System"),
            Source::Held { .. } => write!(f, "Clock::Held({} ms)", self.unix_ms()),
        }
    }
}

/// Returns the machine's wall clock in unix milliseconds, for commands that run without a node.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_clock_moves_only_when_told() {
        let clock = Clock::held(1_000);
        let day = Duration::from_secs(86_400);
        let slept = tokio::spawn(clock.sleep(day));
        assert_eq!((clock.unix_ms(), clock.running()), (1_000, Duration::ZERO));
        clock.set_wall(5_000);
        assert_eq!((clock.unix_ms(), clock.running()), (5_000, Duration::ZERO));
        assert!(!slept.is_finished());
        clock.advance(day);
        slept.await.expect("the day has passed");
        assert_eq!((clock.unix_ms(), clock.running()), (86_405_000, day));
    }

    #[tokio::test]
    async fn the_system_clock_cannot_be_moved() {
        let clock = Clock::system();
        clock.advance(Duration::from_secs(1 << 40));
        clock.set_wall(0);
        assert!(clock.unix_ms() > 1_700_000_000_000);
        assert!(clock.running() < Duration::from_secs(1 << 39));
    }
}
